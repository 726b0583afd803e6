"""How far two samples are apart, and how far two samples of one law would be: the same number for random divisions.

Every distance takes rows of all samples together and `divisions` (R, N), true where a sample is of the first part, and
gives a number for each division (R,), in float64 (Good 2005, "Permutation, Parametric and Bootstrap Tests").
"""

import torch

from equidiff_cli.metrics.spectrum import decibels


def divisions(first, second, rounds, seed):
    """The division as it is, and `rounds` random ones of the same sizes: (1 + rounds, first + second) of booleans."""
    generator = torch.Generator().manual_seed(seed)
    mine = torch.arange(first + second) < first
    shuffled = [mine[torch.randperm(first + second, generator=generator)] for _ in range(rounds)]
    return torch.stack([mine, *shuffled])


def means(rows, divided):
    """The means (R, D) of rows (N, D) in both parts."""
    first, rows = divided.double(), rows.double()
    parts = first, 1 - first
    return tuple(part @ rows / part.sum(1, keepdim=True) for part in parts)


def total_variation(shares, divided):
    """Total variation distance, in [0, 1], between the mean distributions of rows (N, C) that sum to 1."""
    first, second = means(shares, divided)
    return (first - second).abs().sum(1) / 2


def spectral(power, divided):
    """As `metrics.spectrum.spectral_distance`, in dB, between the mean spectra of rows (N, B)."""
    first, second = means(power, divided)
    return (decibels(first) - decibels(second)).square().mean(1).sqrt()


def kernel(features, divided):
    """As `metrics.frechet.kernel_distance`, the unbiased squared maximum mean discrepancy of rows (N, D)."""
    features = features.double()
    similarity = (features @ features.T / features.shape[1] + 1) ** 3
    first = divided.double()
    second, own = 1 - first, similarity.diagonal()
    n, m = first.sum(1), second.sum(1)
    towards = first @ similarity  # (R, N)
    within = (towards * first).sum(1) - first @ own
    others = ((second @ similarity) * second).sum(1) - second @ own
    return within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * (towards * second).sum(1) / (n * m)
