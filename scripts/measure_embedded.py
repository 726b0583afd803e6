"""Measure the embedded models on the CIFAR-10 test set: the figures of the model card, and a sheet of samples.

python scripts/measure_embedded.py --data FOLDER --sheet samples.png
"""

import argparse

import cifar10
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from train_classifier import calibration_error

from equidiff_cli import classifiers, target
from equidiff_cli.cli import configs
from equidiff_cli.grid import grid
from equidiff_cli.query import to_image


@torch.no_grad()
def classifier(name, images, labels):
    """Accuracy, the expected calibration error, and the mean confidence."""
    network = target.embedded(name)
    logits = torch.cat([network(part) for part in images.split(500)])
    confidence = logits.softmax(1).amax(1).mean().item()
    return (logits.argmax(1) == labels).float().mean().item(), calibration_error(logits, labels), confidence


@torch.no_grad()
def reconstruction(prior, images):
    """Mean peak signal-to-noise ratio in dB of decoded latent means, and the mean colour shift per channel."""
    psnr, shift = [], []
    for part in images.split(250):
        z = prior.decoder.encode(part * 2 - 1).latent_dist.mean
        decoded = prior.decode((z - prior.mean) / prior.std)
        psnr.append(-10 * ((decoded - part) ** 2).mean((1, 2, 3)).log10())
        shift.append((decoded - part).mean((2, 3)))
    return torch.cat(psnr).mean().item(), torch.cat(shift).mean(0).tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder with CIFAR-10 (see scripts/cifar10.py)")
    parser.add_argument("--sheet", help="write 64 unguided samples here")
    parser.add_argument("overrides", nargs="*", help="such as prior.steps=20")
    args = parser.parse_args()
    with initialize_config_dir(str(configs()), version_base="1.3"):
        config = compose("prior/embedded", args.overrides)
    prior = instantiate(config.prior, device=torch.device("cpu"), autocast=torch.float32)
    images, labels = cifar10.load(args.data, "test")
    images = images / 255
    for name in classifiers.ARCHITECTURES:
        accuracy, error, confidence = classifier(name, images, labels)
        print(f"{name}: test accuracy {accuracy:.4f}, calibration error {error:.4f}, mean confidence {confidence:.4f}")
    psnr, shift = reconstruction(prior, images)
    print(f"autoencoder: {psnr:.2f} dB, colour shift {', '.join(f'{s:+.4f}' for s in shift)} of 1")
    if args.sheet:
        pictures = [to_image(x) for x in prior.unguided(65, 65)]
        grid(pictures[0], pictures[1:]).save(args.sheet)


if __name__ == "__main__":
    main()
