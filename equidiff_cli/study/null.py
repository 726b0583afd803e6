"""Unguided samples of a prior: what chance gives, drawn once for all runs with the same prior."""

from dataclasses import dataclass

import torch

from equidiff_cli.metrics.likelihood import log_likelihood, signs
from equidiff_cli.prior.prior import NULL_STREAM, sample_seed
from equidiff_cli.prior.sampler import time_grid
from equidiff_cli.study.cache import cached

TOWARDS_DATA = 4.0  # shift of the grid for likelihoods: the flow is stiff near the data, and steps are short there


@dataclass
class Null:
    """Unguided samples: pictures (M, 3, H, W) rounded to 8 bits, starting noise and latents (M, C, H, W)."""

    pictures: torch.Tensor
    z_start: torch.Tensor
    z: torch.Tensor


def null_seeds(samples):
    """The seeds of so many unguided samples, those of `Prior.unguided`."""
    return [sample_seed(NULL_STREAM, i) for i in range(samples)]


def unguided(prior, facts, samples, batch):
    """`Null` of the fixed starting noises that `Prior.unguided` uses; from the cache if they are there.

    Args:
        facts: what the prior's pictures depend on, as JSON takes it.
    """

    seeds = null_seeds(samples)

    @torch.no_grad()
    def draw():
        z_start = torch.stack([prior.noise(seed) for seed in seeds])
        parts = ((prior.of(seeds[i : i + batch]), z_start[i : i + batch]) for i in range(0, samples, batch))
        z = torch.cat([bound.flow(part.to(prior.device)) for bound, part in parts])
        pictures = torch.cat([(prior.decode(part) * 255).round().byte() for part in z.split(batch)])
        return {"pictures": pictures.cpu(), "z_start": z_start, "z": z.cpu()}

    kept = cached("unguided", facts | {"samples": samples}, draw)
    return Null(kept["pictures"].to(prior.device).float() / 255, kept["z_start"], kept["z"])


def log_likelihoods(prior, z, probes, steps, seed, batch, seeds=None):
    """Estimates (P, N) of log p(z) in nats, one a probe, and the noise (N, C, H, W) that the exact flow gives for z.

    The flow of each sample's class, or of none, as it was drawn, in the precision of the run, solved backwards by
    Heun's method on `steps` steps, whatever solver made the samples.

    Args:
        seeds: of the samples, N of them, by which the prior knows the class of each where that differs.
    """
    times, device = time_grid(steps, TOWARDS_DATA), prior.device
    every = signs(probes, z.shape, seed)
    parts = []
    for i in range(0, len(z), batch):
        rows = slice(i, i + batch)
        velocity = prior.of(seeds[rows] if seeds else ()).velocity_on(times)
        parts.append(log_likelihood(velocity, z[rows].to(device), times, every[:, rows].to(device)))
    return torch.cat([part[0].cpu() for part in parts], dim=1), torch.cat([part[1].cpu() for part in parts])
