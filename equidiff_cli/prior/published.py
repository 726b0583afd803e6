"""Priors in the published layout: a LightningDiT, a VA-VAE and the statistics of its latents, each from its file."""

import torch

from equidiff_cli.checks import number, one_of
from equidiff_cli.prior import autoencoder as vae
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.prior import Prior, check_solver
from equidiff_cli.weights.copies import load_converted
from equidiff_cli.weights.hub import Source, find
from equidiff_cli.weights.read import read, sha256

PARTS = ("network", "decoder", "stats")


def published(*, name, architecture, autoencoder, latent_multiplier, solver, steps, shift, device, autocast, **files):
    """The published models, or a user's own in the same layout.

    Args:
        name: what to call it in records.
        architecture: options of `LightningDiT`.
        autoencoder: options of `autoencoder.build`.
        latent_multiplier: latents are (z - mean) / std times this.
        solver, steps, shift: see `Prior`.
        device, autocast: where it runs and the element type of its networks.
        files: `image_size` and the files, see `published_sources`.
    """
    sources = published_sources(
        name=name,
        architecture=architecture,
        autoencoder=autoencoder,
        latent_multiplier=latent_multiplier,
        solver=solver,
        steps=steps,
        shift=shift,
        **files,
    )
    network_file, decoder_file, *stats_file = found = find(sources)
    mean, std = statistics(*stats_file, channels=architecture["in_channels"])
    network, network_hash = load_converted(lambda: LightningDiT(**architecture), network_file, "prior.network")
    decoder, decoder_hash = load_converted(
        lambda: vae.build(**autoencoder, sample_size=files["image_size"]),
        decoder_file,
        "prior.decoder",
        rename=vae.from_published,
        ignore=vae.TRAINING_ONLY,
    )
    prior = Prior(
        network.to(device),
        decoder.to(device),
        mean.to(device),
        (std / latent_multiplier).to(device),
        solver=solver,
        steps=steps,
        shift=shift,
        autocast=autocast,
    )
    hashes = (network_hash, decoder_hash, *map(sha256, stats_file))
    prior.name = name
    prior.weights = {f"{part}/{file.name}": digest for part, file, digest in zip(PARTS, found, hashes, strict=False)}
    return prior


def published_sources(
    *,
    name,
    image_size,
    network,
    decoder,
    stats,
    hub,
    architecture,
    autoencoder,
    latent_multiplier,
    solver,
    steps,
    shift,
):
    """Check every option, and say where `published` takes its files from.

    Args:
        image_size: side of the pictures in pixels; must be what the two networks make.
        network, decoder, stats: local files, or None for the published ones; `stats` may be "none".
        hub: "owner/name/file" for each of the three, or None.
    """
    check_solver(solver, steps, shift)
    number("prior.latent_multiplier", latent_multiplier, above=0)
    check_architecture(**architecture)
    check_autoencoder(**autoencoder, in_channels=architecture["in_channels"])
    size = architecture["input_size"] * 2 ** (len(autoencoder["block_out_channels"]) - 1)
    one_of("prior.image_size", image_size, [size])
    sources = []
    for part, path in zip(PARTS, (network, decoder, stats), strict=True):
        if path == "none" and part == "stats":
            continue
        owner, repo, file = (hub or {}).get(part, "//").split("/", 2)
        sources.append(
            Source(f"prior.{part}", path, f"{owner}/{repo}" if file else None, (file,) if file else (), f"prior={name}")
        )
    return sources


published.sources = published_sources


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


def check_architecture(
    *, input_size, patch_size, in_channels, hidden_size, depth, num_heads, mlp_ratio, num_classes, **switches
):
    """`ValueError` for a transformer that cannot be built."""
    whole = dict(input_size=input_size, patch_size=patch_size, in_channels=in_channels, hidden_size=hidden_size)
    for key, value in (whole | dict(depth=depth, num_heads=num_heads, num_classes=num_classes)).items():
        number(f"prior.architecture.{key}", value, minimum=1, whole=True)
    number("prior.architecture.mlp_ratio", mlp_ratio, above=0)
    for key, value in switches.items():
        if not isinstance(value, bool):
            raise ValueError(f"prior.architecture.{key}={value}: must be true or false")
    if input_size % patch_size:
        raise ValueError(f"prior.architecture.patch_size={patch_size}: must divide input_size={input_size}")
    if hidden_size % (4 * num_heads):  # pairs of channels turn, half of them with the row and half with the column
        raise ValueError(f"prior.architecture.hidden_size={hidden_size}: must be a multiple of 4 num_heads={num_heads}")


def check_autoencoder(
    *, latent_channels, block_out_channels, layers_per_block, attention_levels, norm_num_groups, in_channels
):
    """`ValueError` for an autoencoder that cannot be built or whose latents are not those of the transformer."""
    number("prior.autoencoder.layers_per_block", layers_per_block, minimum=1, whole=True)
    number("prior.autoencoder.norm_num_groups", norm_num_groups, minimum=1, whole=True)
    for key, values in dict(block_out_channels=block_out_channels, attention_levels=attention_levels).items():
        if not isinstance(values, list) or (not values and key == "block_out_channels"):
            raise ValueError(f"prior.autoencoder.{key}={values}: must be a list of whole numbers")
    for width in block_out_channels:
        number("prior.autoencoder.block_out_channels", width, minimum=1, whole=True)
        if width % norm_num_groups:
            raise ValueError(
                f"prior.autoencoder.block_out_channels={width}: must be a multiple of norm_num_groups={norm_num_groups}"
            )
    for level in attention_levels:
        last = len(block_out_channels) - 1
        number("prior.autoencoder.attention_levels", level, minimum=0, maximum=last, whole=True)
    if latent_channels != in_channels:
        raise ValueError(
            f"prior.autoencoder.latent_channels={latent_channels}: must be prior.architecture.in_channels={in_channels}"
        )
