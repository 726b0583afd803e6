"""Scale the logits of an embedded classifier so that its probabilities mean what they say (Guo et al. 2017).

python -m scripts.train.calibrate smallconv --data FOLDER --init trained.safetensors --out smallconv.safetensors

One number, the inverse temperature, is chosen on the first 5,000 test pictures; the others tell how well it does.
The scale becomes part of the last layer, so classes and their order stay as they are.
"""

import argparse

import torch
import torch.nn.functional as F

from equidiff_cli.target import small
from equidiff_cli.weights.read import load, read
from scripts.shared import cifar10
from scripts.shared.classifying import calibration_error, logits_of, normalised
from scripts.shared.training import export

CHOOSING = 5000  # test pictures that choose the scale


def best_scale(logits, labels):
    """The factor of the logits with the least cross entropy."""
    scales = torch.logspace(-1, 1, 401)
    losses = torch.stack([F.cross_entropy(logits * scale, labels) for scale in scales])
    return scales[losses.argmin()].item()


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=small.ARCHITECTURES)
    parser.add_argument("--data", required=True, help="folder with CIFAR-10 (see scripts/shared/cifar10.py)")
    parser.add_argument("--init", required=True, help="weights of the classifier")
    parser.add_argument("--out", required=True, help="write the scaled weights here, half precision safetensors")
    return parser


@torch.no_grad()
def main():
    args = parser().parse_args()
    network = load(small.ARCHITECTURES[args.model], read(args.init, "--init"), "--init", args.init)
    images, labels = cifar10.load(args.data, "test")
    logits = logits_of(network, normalised(images))
    scale = best_scale(logits[:CHOOSING], labels[:CHOOSING])
    before, after = (calibration_error(x[CHOOSING:], labels[CHOOSING:]) for x in (logits, logits * scale))
    print(f"logits scaled by {scale:.4f}; calibration error on the other pictures {before:.4f}, now {after:.4f}")
    for parameter in network.fc.parameters():
        parameter.mul_(scale)
    export(network.state_dict(), args.out)


if __name__ == "__main__":
    main()
