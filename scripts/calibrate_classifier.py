"""Scale the logits of an embedded classifier so that its probabilities mean what they say (Guo et al. 2017).

python scripts/calibrate_classifier.py smallconv --data FOLDER --out smallconv.safetensors

One number, the inverse temperature, is chosen on the first 5,000 test pictures; the others tell how well it does.
The scale becomes part of the last layer, so classes and their order stay as they are.
"""

import argparse

import cifar10
import torch
import torch.nn.functional as F
from train_classifier import calibration_error
from training import export

from equidiff_cli import classifiers, target

CHOOSING = 5000  # test pictures that choose the scale


def best_scale(logits, labels):
    """The factor of the logits with the least cross entropy."""
    scales = torch.logspace(-1, 1, 401)
    losses = torch.stack([F.cross_entropy(logits * scale, labels) for scale in scales])
    return scales[losses.argmin()].item()


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=classifiers.ARCHITECTURES)
    parser.add_argument("--data", required=True, help="folder with CIFAR-10 (see scripts/cifar10.py)")
    parser.add_argument("--out", required=True, help="write the scaled weights here, half precision safetensors")
    args = parser.parse_args()
    network = target.embedded(args.model)
    images, labels = cifar10.load(args.data, "test")
    logits = torch.cat([network(part / 255) for part in images.split(500)])
    scale = best_scale(logits[:CHOOSING], labels[:CHOOSING])
    before, after = (calibration_error(x[CHOOSING:], labels[CHOOSING:]) for x in (logits, logits * scale))
    print(f"logits scaled by {scale:.4f}; calibration error on the other pictures {before:.4f}, now {after:.4f}")
    for parameter in network.model.fc.parameters():
        parameter.mul_(scale)
    export(network.model, args.out)


if __name__ == "__main__":
    main()
