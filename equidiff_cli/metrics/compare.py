"""One number a picture, in two samples: how spread, how shifted, by how much, and whether chance does the same.

Rows (N, K) hold K numbers for each of N pictures; those of the first sample come first. All in float64.
"""

import math

import torch

from equidiff_cli.metrics.interval import LEVEL
from equidiff_cli.metrics.permutation import divisions


def moments(rows, counts):
    """Means and unbiased variances (R, K) of rows (N, K) that count (R, N) times."""
    counts, total = counts.double(), counts.double().sum(1, keepdim=True)
    mean = counts @ rows / total
    return mean, ((counts @ rows.square() / total - mean.square()) * total / (total - 1)).clamp_min(0)


def ratio_and_shift(first, second):
    """From the moments of two samples: the ratio of their standard deviations, at least 0, and the difference of their
    means in standard deviations of the second."""
    (mean, variance), (other, unit) = first, second
    return (variance / unit).sqrt(), (mean - other) / unit.sqrt()


def information(ratio, shift):
    """Bits, at least 0: the divergence KL(N(shift, ratio^2) || N(0, 1)) (Kullback & Leibler 1951), what knowing that a
    picture belongs to the first sample tells about its number; inf for a ratio of 0."""
    nats = (ratio.square() + shift.square() - 1) / 2 - ratio.log()
    return nats / math.log(2)


def scores(rows, reference):
    """Normal scores (N, K) of rows by their place among a reference (M, K): the normal quantile of the share of it that
    is below, ties half (van der Waerden 1952). The reference itself has mean 0 and spread 1, whatever its tails."""
    ordered, found = reference.double().T.contiguous().sort(1).values, rows.double().T.contiguous()  # (K, M), (K, N)
    below, upto = (torch.searchsorted(ordered, found, right=right) for right in (False, True))
    return torch.special.ndtri(((below + upto).double() / 2 + 0.5) / (len(reference) + 1)).T


def intervals(rows, first, seed, resamples=1000):
    """95 % percentile bootstrap bounds (2, K) of the ratio and (2, K) of the shift, both samples resampled.

    Args:
        first: how many rows are of the first sample.
    """
    generator = torch.Generator().manual_seed(seed)
    rows, parts = centred(rows), []
    for part in (rows[:first], rows[first:]):
        chosen = torch.randint(len(part), (resamples, len(part)), generator=generator)
        ones = torch.ones(chosen.shape, dtype=torch.float64)
        parts.append(moments(part, torch.zeros_like(ones).scatter_add_(1, chosen, ones)))
    at = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)
    return tuple(found.quantile(at, dim=0) for found in ratio_and_shift(*parts))


def p_values(rows, first, rounds, seed):
    """Permutation p-values (K,) of equal spreads, and of equal means; two-sided, at least 2 / (rounds + 1).

    Means by Welch's t, which keeps its level where spreads differ (Janssen 1997); spreads by the logarithm of the ratio
    of the variances, permuted after the own mean of each sample is taken off, so that a shift is no spread.
    """
    divided = divisions(first, len(rows) - first, rounds, seed)
    rows, sizes = centred(rows), (first, len(rows) - first)
    (mean, variance), (other, unit) = (moments(rows, part) for part in (divided, ~divided))
    means = (mean - other) / (variance / sizes[0] + unit / sizes[1]).sqrt()
    rows = torch.cat([part - part.mean(0) for part in (rows[:first], rows[first:])])
    (_, variance), (_, unit) = (moments(rows, part) for part in (divided, ~divided))
    return two_sided(variance.log() - unit.log()), two_sided(means)


def two_sided(found):
    """Twice the smaller share of divisions (R, K) at least as far out as the first, the real one."""
    tails = torch.stack([found >= found[0], found <= found[0]]).double().mean(1)  # the real one counts, too
    return (2 * tails.amin(0)).clamp_max(1)


def adjusted(p):
    """p-values (M,) by Benjamini & Hochberg (1995): of those of at most 5 %, 5 % are false discoveries."""
    order = p.argsort(descending=True)
    ranks = torch.arange(len(p), 0, -1, dtype=torch.float64)
    found = torch.empty_like(p)
    found[order] = (p[order] * len(p) / ranks).cummin(0).values.clamp_max(1)
    return found


def centred(rows):
    """Rows in float64 about their mean, so that squares lose no digits."""
    rows = rows.double()
    return rows - rows.mean(0)


def area_under_curve(positive, negative):
    """The probability (Mann & Whitney 1947) that a number of the first is above one of the second, ties half."""
    higher = (positive[:, None] > negative[None]).double() + 0.5 * (positive[:, None] == negative[None]).double()
    return higher.mean().item()
