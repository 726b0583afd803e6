"""Measure the embedded models on CIFAR-10: the figures of the model card, and a sheet of samples.

python -m scripts.measure.embedded --data FOLDER --sheet samples.png
"""

import argparse

import torch

from equidiff_cli.metrics import frechet
from equidiff_cli.pictures.convert import to_image
from equidiff_cli.pictures.grid import grid
from equidiff_cli.target import small
from scripts.shared import cifar10
from scripts.shared.classifying import calibration_error
from scripts.shared.quality import (
    decoded_noise,
    distance,
    embedded_prior,
    features,
    nearest,
    reconstructions,
    samples,
    spectral_difference,
)

COPIES = 2000  # pictures that are compared with every training picture


def error_consistency(first, second):
    """Cohen's kappa of which pictures two networks get right, (N,) bool each (Geirhos et al. 2020, arXiv:2006.16736).

    1: they fail on the same pictures; 0: as independent networks of their accuracies; below 0: on different ones.
    """
    a, b = first.double().mean(), second.double().mean()
    chance = a * b + (1 - a) * (1 - b)
    return (((first == second).double().mean() - chance) / (1 - chance)).item()


@torch.no_grad()
def print_classifiers(pictures, labels):
    """Accuracy, expected calibration error and mean confidence of each, and how much they fail on the same pictures."""
    right = []
    for name in small.ARCHITECTURES:
        network = small.embedded(name)
        logits = torch.cat([network(part / 255) for part in pictures.split(500)])
        right.append(logits.argmax(1) == labels)
        accuracy, confidence = right[-1].float().mean(), logits.softmax(1).amax(1).mean()
        error = calibration_error(logits, labels)
        print(f"{name}: test accuracy {accuracy:.4f}, calibration error {error:.4f}, mean confidence {confidence:.4f}")
    print(f"error consistency of the two: {error_consistency(*right):.3f}")


def print_reconstruction(prior, pictures):
    """Mean peak signal-to-noise ratio of decoded latents, mean colour shift per channel, and the spectrum."""
    decoded, real = reconstructions(prior, pictures), pictures / 255
    psnr = -10 * (decoded - real).square().mean((1, 2, 3)).log10().mean()
    shift = (decoded - real).mean((0, 2, 3)).tolist()
    print(f"autoencoder: {psnr:.2f} dB, colour shift {', '.join(f'{s:+.4f}' for s in shift)} of 1")
    print_spectrum("reconstructions over originals", decoded, real)


def print_samples(prior, pictures, train, test):
    """Frechet distances, precision and recall in the features of `smallconv`, and the spectrum."""
    network, count = small.embedded("smallconv"), len(pictures)
    real = features(network, test[:count])
    decoded = (reconstructions(prior, train[:count]) * 255).round().byte()
    for name, others in (
        ("training pictures", train[:count]),
        ("training pictures, encoded and decoded", decoded),
        ("decoded noise", decoded_noise(prior, count)),
    ):
        print(f"Frechet distance of {count} {name} to the test set: {distance(network, others, real):.3f}")
    found = features(network, pictures)
    print(f"Frechet distance of {count} samples to the test set: {frechet.frechet_distance(found, real):.3f}")
    precision, recall = frechet.precision_recall(real, found, k=3)
    print(f"samples: precision {precision:.3f}, recall {recall:.3f} (k = 3)")
    print_spectrum("samples over test pictures", pictures, test[:count])
    for name, others in ("test pictures", test), ("samples", pictures):
        away = nearest(others[:COPIES], train).quantile(torch.tensor([0.01, 0.5])).tolist()
        print(f"{name}, to the nearest training picture: {away[1]:.3f} of 1, the nearest hundredth {away[0]:.3f}")


def print_spectrum(name, pictures, real):
    """Differences in dB in each ring, and the largest up to half of Nyquist and above."""
    frequencies, difference = spectral_difference(pictures, real)
    low = difference[frequencies <= 0.5].abs().max()
    high = difference[frequencies > 0.5].abs().max()
    print(f"{name}, power: within {low:.2f} dB up to half of Nyquist, within {high:.2f} dB above;")
    print("  " + ", ".join(f"{f:.3f}: {d:+.2f}" for f, d in zip(frequencies, difference, strict=True)))


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with CIFAR-10 (see scripts/shared/cifar10.py)")
    parser.add_argument("--samples", type=int, default=10000, help="unguided samples to measure; 0: none")
    parser.add_argument("--sheet", help="write 64 unguided samples here")
    parser.add_argument("overrides", nargs="*", help="such as prior.steps=20")
    return parser


def main():
    args = parser().parse_args()
    prior = embedded_prior(args.overrides)
    (train, _), (test, labels) = (cifar10.load(args.data, split) for split in ("train", "test"))
    print_classifiers(test, labels)
    print_reconstruction(prior, test)
    if args.samples:
        print_samples(prior, samples(prior, args.samples), train, test)
    if args.sheet:
        pictures = [to_image(x) for x in prior.unguided(65, 65)]
        grid(pictures[0], pictures[1:]).save(args.sheet)


if __name__ == "__main__":
    main()
