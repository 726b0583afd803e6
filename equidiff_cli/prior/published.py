"""Priors in the published layout: a LightningDiT, a VA-VAE and the statistics of its latents, each from its file."""

from dataclasses import dataclass

import torch

from equidiff_cli.checks import number, one_of
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.prior.accepted import MEAN, check_jumps, check_solver
from equidiff_cli.prior.backwards import Backwards
from equidiff_cli.prior.lightningdit import Architecture, LightningDiT
from equidiff_cli.prior.paths import Flow, Renoising
from equidiff_cli.prior.prior import Prior
from equidiff_cli.weights.copies import load_converted
from equidiff_cli.weights.hub import Source, find
from equidiff_cli.weights.read import read, sha256

PARTS = ("network", "decoder", "stats")


@dataclass(frozen=True, kw_only=True)
class Published:
    """The published models, or a user's own in the same layout; a `PriorSource`.

    Args:
        name: what to call it in records.
        image_size: side of the pictures in pixels; must be what the two networks make.
        network, decoder, stats: local files, or None for the published ones; `stats` may be "none".
        hub: "owner/name/file" for each of the three, or None.
        architecture: options of the transformer, see `Architecture`.
        autoencoder: options of `autoencoder.build`.
        latent_multiplier: latents are (z - mean) / std times this.
        solver, steps, shift: see `Prior`.
        jumps: None for a flow; else at which times it jumps, `gaps` of `paths.Renoising`.
        noise_at: the time at which the network's latents are noise, 0 or 1.
        label, classes, null_trained: see `PriorSource`.
    """

    medium = Pictures()

    name: str
    image_size: int
    network: str | None
    decoder: str | None
    stats: str | None
    hub: dict | None
    architecture: dict
    autoencoder: dict
    latent_multiplier: float
    solver: str
    steps: int
    shift: float
    jumps: str | list | None = None
    noise_at: int = 0
    label: int | str | None = None
    classes: str | list | None = None
    null_trained: str = "not known"

    def __post_init__(self):
        check_solver(self.solver, self.steps, self.shift)
        if self.jumps == MEAN:
            raise ValueError(f"prior.jumps={MEAN}: this network knows no length of a jump; use null, uniform or [a,b]")
        check_jumps(self.jumps, solver=self.solver, shift=self.shift)
        one_of("prior.noise_at", self.noise_at, [0] if self.jumps else [0, 1])
        number("prior.latent_multiplier", self.latent_multiplier, above=0)
        latents = Architecture(**self.architecture)
        check_autoencoder(**self.autoencoder, in_channels=latents.in_channels)
        size = latents.input_size * 2 ** (len(self.autoencoder["block_out_channels"]) - 1)
        one_of("prior.image_size", self.image_size, [size])

    @property
    def num_classes(self):
        """How many classes it knows."""
        return Architecture(**self.architecture).num_classes

    def sources(self):
        """Where its files are taken from, two or three in the order of `PARTS`."""
        parts = PARTS[:2] if self.stats == "none" else PARTS
        return [source(self.name, part, getattr(self, part), (self.hub or {}).get(part)) for part in parts]

    def build(self, device, autocast):
        network_file, decoder_file, *stats_file = files = find(self.sources())
        mean, std = statistics(*stats_file, channels=Architecture(**self.architecture).in_channels)
        network, network_hash = load_converted(
            lambda: LightningDiT(**self.architecture), network_file, "prior.network", averaged=True
        )
        decoder, decoder_hash = decoder_of(decoder_file, **self.autoencoder, sample_size=self.image_size)
        if self.noise_at:
            network = Backwards(network)
        jumps = self.jumps is not None
        hashes = (network_hash, decoder_hash, *map(sha256, stats_file))
        return Prior(
            network.to(device),
            decoder.to(device),
            mean.to(device),
            (std / self.latent_multiplier).to(device),
            name=self.name,
            weights={f"{part}/{file.name}": digest for part, file, digest in zip(PARTS, files, hashes, strict=False)},
            path=Renoising(self.steps, self.jumps) if jumps else Flow(self.solver, self.steps, self.shift),
            autocast=autocast,
        )


def source(name, part, path, published):
    """`Source` of a part of the prior `name`: a local `path`, or what is `published` as "owner/name/file"."""
    owner, repo, file = (published or "//").split("/", 2)
    where = (f"{owner}/{repo}", (file,)) if file else (None, ())
    return Source(f"prior.{part}", path, *where, f"prior={name}")


def decoder_of(file, **options):
    """The autoencoder in a file with the names of VA-VAE or of diffusers, and the file's SHA-256; the options are those
    of `autoencoder.build`."""
    from equidiff_cli.prior import autoencoder as vae  # with diffusers, which takes longer to import than torch

    return load_converted(
        lambda: vae.build(**options), file, "prior.decoder", rename=vae.from_published, ignore=vae.TRAINING_ONLY
    )


def statistics(file=None, *, channels):
    """Mean and standard deviation of the latents, each (1, C, 1, 1); without a file 0 and 1."""
    if file is None:
        return torch.zeros(1, channels, 1, 1), torch.ones(1, channels, 1, 1)
    state = read(file, "prior.stats")
    wanted = {"mean", "std"}
    if state.keys() != wanted:
        raise ValueError(
            f"prior.stats={file}: does not fit, missing: {', '.join(sorted(wanted - state.keys())) or 'nothing'};"
            f" unexpected: {', '.join(sorted(state.keys() - wanted)[:8]) or 'nothing'}; accepted: mean and std"
        )
    for name, tensor in state.items():
        if tensor.numel() != channels or tensor.squeeze().ndim > 1 or not tensor.isfinite().all():
            raise ValueError(f"prior.stats={file}: {name} is {tuple(tensor.shape)}; must be {channels} finite numbers")
    if not (state["std"] > 0).all():
        raise ValueError(f"prior.stats={file}: std must be above 0 in every channel")
    return tuple(state[name].float().view(1, channels, 1, 1) for name in ("mean", "std"))


def check_autoencoder(
    *, latent_channels, block_out_channels, layers_per_block, attention_levels, norm_num_groups, in_channels
):
    """`ValueError` for what is of the wrong type, and for numbers of which strict loading would not tell that they do
    not go together."""
    number("prior.autoencoder.layers_per_block", layers_per_block, minimum=1, whole=True)
    number("prior.autoencoder.norm_num_groups", norm_num_groups, minimum=1, whole=True)
    for key, values in dict(block_out_channels=block_out_channels, attention_levels=attention_levels).items():
        if not isinstance(values, list) or (not values and key == "block_out_channels"):
            raise ValueError(f"prior.autoencoder.{key}={values}: must be a list of whole numbers")
        for value in values:
            number(f"prior.autoencoder.{key}", value, minimum=0, whole=True)
    for width in block_out_channels:
        if width % norm_num_groups:
            raise ValueError(
                f"prior.autoencoder.block_out_channels={width}: must be a multiple of norm_num_groups={norm_num_groups}"
            )
    if latent_channels != in_channels:
        raise ValueError(
            f"prior.autoencoder.latent_channels={latent_channels}: must be prior.architecture.in_channels={in_channels}"
        )
