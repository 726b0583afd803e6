"""The published models of improved MeanFlow (Geng et al. 2025, arXiv:2512.02012), with the autoencoder of Stable
Diffusion: one evaluation of the network a picture."""

from dataclasses import dataclass

import torch

from equidiff_cli.checks import one_of
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.prior.accepted import ACCEPTED, MEAN, check_jumps, check_solver
from equidiff_cli.prior.imf import TRAINING_ONLY, Guided, ImprovedMeanFlow, published_names
from equidiff_cli.prior.paths import MeanJumps
from equidiff_cli.prior.prior import Prior
from equidiff_cli.prior.published import decoder_of, source
from equidiff_cli.weights.copies import load_converted
from equidiff_cli.weights.hub import find

PARTS = ("network", "decoder")
NETWORKS = {  # the published sizes, as options of `ImprovedMeanFlow`
    "B": {},
    "M": dict(depth=24),
    "L": dict(depth=32, hidden_size=1024, num_heads=16),
    "XL": dict(depth=48, hidden_size=1024, num_heads=16),
}
AUTOENCODER = dict(  # stabilityai/sd-vae-ft-mse
    latent_channels=4, block_out_channels=(128, 256, 512, 512), attention_levels=(), sample_size=256
)
MEAN_OF_LATENTS = (0.86488, -0.27787343, 0.21616915, 0.3738409)  # of the raw latents, channel by channel; no factor
STD_OF_LATENTS = (4.85503674, 5.31922414, 3.93725398, 3.9870003)


@dataclass(frozen=True, kw_only=True)
class PublishedMeanFlow:
    """Improved MeanFlow from its published files; a `PriorSource`.

    Args:
        name, network, decoder, hub: as of `Published`.
        image_size: side of the pictures in pixels; these models make 256.
        size: which of `NETWORKS`.
        omega, t_min, t_max: the guidance, see `ImprovedMeanFlow.condition`.
        solver, steps, shift, jumps: it jumps by mean velocities, `steps` times; the others have one value.
        label: see `PriorSource`.
    """

    medium, classes, null_trained = Pictures(), "imagenet", "no"
    num_classes = 1000

    name: str
    image_size: int
    network: str | None
    decoder: str | None
    hub: dict | None
    size: str
    omega: float
    t_min: float
    t_max: float
    solver: str
    steps: int
    shift: float
    jumps: str
    label: int | str | None

    def __post_init__(self):
        check_solver(self.solver, self.steps, self.shift)
        one_of("prior.jumps", self.jumps, [MEAN])
        check_jumps(self.jumps, solver=self.solver, shift=self.shift)
        for name in ("size", "omega", "t_min", "t_max"):
            ACCEPTED[f"prior.{name}"](f"prior.{name}", getattr(self, name))
        one_of("prior.image_size", self.image_size, [256])

    def sources(self):
        """Where its two files are taken from."""
        published = {part: (self.hub or {}).get(part, "").format(size=self.size) for part in PARTS}
        return [source(self.name, part, getattr(self, part), published[part]) for part in PARTS]

    def build(self, device, autocast):
        network_file, decoder_file = files = find(self.sources())
        network, network_hash = load_converted(
            lambda: ImprovedMeanFlow(**NETWORKS[self.size], num_classes=self.num_classes),
            network_file,
            "prior.network",
            rename=published_names,
            ignore=TRAINING_ONLY,
            averaged=True,
        )
        decoder, decoder_hash = decoder_of(decoder_file, **AUTOENCODER)
        mean, std = (torch.tensor(row, device=device).view(1, -1, 1, 1) for row in (MEAN_OF_LATENTS, STD_OF_LATENTS))
        hashes = dict(zip(PARTS, (network_hash, decoder_hash), strict=True))
        return Prior(
            Guided(network, self.omega, self.t_min, self.t_max).to(device),
            decoder.to(device),
            mean,
            std,
            name=self.name,
            weights={f"{part}/{file.name}": hashes[part] for part, file in zip(PARTS, files, strict=True)},
            path=MeanJumps(self.steps),
            autocast=autocast,
        )
