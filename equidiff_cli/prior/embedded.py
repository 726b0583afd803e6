"""The priors of the configuration group `prior`: read the weights, put the parts together."""

from pathlib import Path

from equidiff_cli.checks import one_of
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.patches import PatchAutoencoder
from equidiff_cli.prior.prior import Prior
from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.weights.read import load, read, sha256

EMBEDDED_NETWORK = dict(
    input_size=8, patch_size=1, in_channels=10, hidden_size=320, depth=6, num_heads=5, num_classes=10
)
EMBEDDED_AUTOENCODER = dict(patch_size=4, latent_channels=10, width=128, depth=4)


def embedded(*, image_size, solver, steps, shift, device, autocast):
    """The small prior that ships with the package: pictures of 32 x 32, trained on CIFAR-10.

    Args:
        image_size: side of the pictures in pixels; these weights make 32.
        solver, steps, shift: see `Prior`.
        device, autocast: where it runs and the element type of its networks.
    """
    one_of("prior.image_size", image_size, [32])
    files = WEIGHTS / "lightningdit.safetensors", WEIGHTS / "autoencoder.safetensors"
    prior = small(*files, solver=solver, steps=steps, shift=shift, device=device, autocast=autocast)
    prior.name = "embedded"
    return prior


def small(network_file, decoder_file, *, device, keys=("prior", "prior"), **options):
    """The `Prior`, with `options`, of weights of the size of the embedded ones; `keys` name the files in errors."""
    state = read(network_file, keys[0])
    if not {"latents_mean", "latents_std"} <= state.keys():
        raise ValueError(
            f"{keys[0]}={network_file}: it does not hold the statistics of the latents, latents_mean and _std"
        )
    mean, std = (state.pop(f"latents_{name}").float() for name in ("mean", "std"))
    network = load(lambda: LightningDiT(**EMBEDDED_NETWORK), state, keys[0], network_file)
    state = read(decoder_file, keys[1])
    decoder = load(lambda: PatchAutoencoder(**EMBEDDED_AUTOENCODER), state, keys[1], decoder_file)
    prior = Prior(network.to(device), decoder.to(device), mean.to(device), std.to(device), **options)
    prior.weights = {Path(file).name: sha256(file) for file in (network_file, decoder_file)}
    return prior
