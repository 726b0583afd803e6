"""Train the perceptron and the flow of experiment=circles; half a minute of one core.

python -m scripts.train.circles --out equidiff_cli/shipped
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F

from equidiff_cli.circles import rings
from equidiff_cli.circles.networks import Perceptron, PointFlow
from equidiff_cli.circles.plane import EXTENT
from scripts.shared.training import Average, export


def train_perceptron(points, labels, steps=400):
    """Cross-entropy over all points at once. Few steps and weight decay: longer training bends the boundary to single
    points and makes the log loss on fresh ones worse.
    """
    network = Perceptron()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = F.cross_entropy(network(points), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


def train_flow(z1, generator, steps=12000, batch=512):
    """Flow matching on straight lines (Lipman et al. 2023): the velocity at (1 - t) z0 + t z1 is z1 - z0."""
    network = PointFlow()
    average = Average(network, 0.999)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        data = z1[torch.randint(len(z1), (batch,), generator=generator)]
        noise, t = torch.randn(data.shape, generator=generator), torch.rand(batch, generator=generator)
        between = noise + t[:, None, None, None] * (data - noise)
        loss = F.mse_loss(network.velocity(between, network.condition(t, None)), data - noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update(network, step)
    return average.model


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="folder for the two files of weights")
    return parser


def main():
    out = parser().parse_args().out
    torch.manual_seed(0)
    torch.set_num_threads(1)  # sums in one order: the same weights again
    points, labels = rings.training_points()
    points = torch.from_numpy(points).float()
    perceptron = train_perceptron(points, torch.from_numpy(labels))
    export(perceptron.state_dict(), out / "circles_perceptron.safetensors")
    x = points[:, :, None, None] / EXTENT  # (1500, 2, 1, 1) in [-1, 1], as a decoder gives pictures
    mean, std = x.mean(0, keepdim=True), x.std((0, 2, 3), keepdim=True)
    flow = train_flow((x - mean) / std, torch.Generator().manual_seed(0))
    export(flow.state_dict() | {"latents_mean": mean, "latents_std": std}, out / "circles_flow.safetensors")


if __name__ == "__main__":
    main()
