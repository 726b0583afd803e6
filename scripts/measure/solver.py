"""Measure how the quality of unguided samples depends on the solver, its steps and the shift of its time grid.

python -m scripts.measure.solver --data FOLDER
python -m scripts.measure.solver --data FOLDER --samples 250 "prior.solver=euler prior.steps=10" "prior.shift=1.0"
"""

import argparse
import itertools

import torch

from equidiff_cli.target import small
from scripts.shared import cifar10
from scripts.shared.quality import distance, embedded_prior, features, samples, spectral_difference

SOLVERS, STEPS = ("euler", "heun"), (4, 6, 8, 12, 24)
SHIFTS = (0.3, 0.5, 0.7, 1.0, 1.5)


def every_setting():
    """Overrides for every solver and number of steps, then for every shift of the default solver."""
    solvers = [[f"prior.solver={name}", f"prior.steps={n}"] for name, n in itertools.product(SOLVERS, STEPS)]
    return solvers + [[f"prior.shift={shift}"] for shift in SHIFTS]


def row(overrides, network, real, real_features):
    """How near as many samples with these settings come to real pictures (N, 3, 32, 32) uint8, as a row of a table.

    Args:
        network: the classifier in whose features the Frechet distance is.
        real_features: those of the real pictures, (N, D).
    """
    prior = embedded_prior(overrides)
    pictures = samples(prior, len(real))
    found = distance(network, pictures, real_features)
    frequencies, difference = spectral_difference(pictures, real)
    low, high = (difference[half].abs().max() for half in (frequencies <= 0.5, frequencies > 0.5))
    return f"| `{' '.join(overrides)}` | {prior.evaluations} | {found:.3f} | {low:.2f} dB, {high:.2f} dB |"


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with CIFAR-10 (see scripts/shared/cifar10.py)")
    parser.add_argument("--samples", type=int, default=2000, help="of every setting [%(default)s]")
    parser.add_argument("settings", nargs="*", help="what to measure, each in quotes [every solver and shift]")
    return parser


def main():
    args = parser().parse_args()
    network = small.embedded("smallconv")
    real, _ = cifar10.load(args.data, "test")
    real = real[torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[: args.samples]]
    real_features = features(network, real)
    print(f"{len(real)} samples against as many test pictures\n")
    print("| setting | evaluations | Frechet distance | largest difference up to half of Nyquist, above |")
    print("|---|---|---|---|")
    for overrides in [setting.split() for setting in args.settings] or every_setting():
        print(row(overrides, network, real, real_features), flush=True)


if __name__ == "__main__":
    main()
