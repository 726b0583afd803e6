"""The prior that ships with the package."""

from dataclasses import dataclass
from pathlib import Path

from equidiff_cli.checks import one_of
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.prior.accepted import check_solver
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.patches import PatchAutoencoder
from equidiff_cli.prior.prior import Prior
from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.weights.read import load, read, sha256

EMBEDDED_NETWORK = dict(
    input_size=8, patch_size=1, in_channels=10, hidden_size=320, depth=6, num_heads=5, num_classes=10
)
EMBEDDED_AUTOENCODER = dict(patch_size=4, latent_channels=10, width=128, depth=4)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """The small prior that ships with the package, trained on CIFAR-10; a `PriorSource`.

    Args:
        image_size: side of the pictures in pixels; these weights make 32.
        solver, steps, shift: see `Prior`.
        label: see `PriorSource`.
    """

    medium, classes, null_trained = Pictures(), "cifar10", "yes"
    num_classes = EMBEDDED_NETWORK["num_classes"]

    image_size: int
    solver: str
    steps: int
    shift: float
    label: int | str | None = None

    def __post_init__(self):
        one_of("prior.image_size", self.image_size, [32])
        check_solver(self.solver, self.steps, self.shift)

    def sources(self):
        return []

    def build(self, device, autocast):
        files = WEIGHTS / "lightningdit.safetensors", WEIGHTS / "autoencoder.safetensors"
        solver = dict(solver=self.solver, steps=self.steps, shift=self.shift)
        return small(*files, device=device, autocast=autocast, **solver)


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
    weights = {Path(file).name: sha256(file) for file in (network_file, decoder_file)}
    parts = (part.to(device) for part in (network, decoder, mean, std))
    return Prior(*parts, name="embedded", weights=weights, **options)
