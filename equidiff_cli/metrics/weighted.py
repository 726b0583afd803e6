"""Samples that count more or less: what stands for a law of which too few exact samples are at hand.

Unguided samples x_i with weights w_i = K(d(x_i)) stand for the prior weighted by the kernel K of the distance d to the
set: rejection with a soft edge (approximate Bayesian computation, Beaumont, Zhang & Balding 2002).
"""

import math

import torch

from equidiff_cli.metrics.interval import NORMAL

CUT = 3.0  # bandwidths, beyond which a weight is 0


def gaussian_weights(distances, bandwidth):
    """exp(-(d / bandwidth)^2 / 2) (N,), in [0, 1], of distances (N,) of at least 0; 0 beyond `CUT` bandwidths."""
    scaled = distances.double() / bandwidth
    return torch.where(scaled <= CUT, torch.exp(-0.5 * scaled.square()), 0.0)


def effective(weights):
    """The effective sample size (sum w)^2 / sum w^2, in [0, N] (Kish 1965); 0 where no weight is above 0."""
    square = weights.double().square().sum().item()
    return weights.double().sum().item() ** 2 / square if square else 0.0


def mean(values, weights):
    """The self-normalised mean (...) of values (N, ...)."""
    weights = weights.double() / weights.double().sum()
    return torch.tensordot(weights, values.double(), dims=1)


def interval(values, weights):
    """95 % interval (low, high) of `mean` of values (N,), by the delta method (Owen 2013, equation 9.8).

    Wide where few samples carry the weight. None with fewer than two effective samples, which have no spread.
    """
    if effective(weights) < 2:
        return None
    middle, share = mean(values, weights).item(), weights.double() / weights.double().sum()
    variance = (share.square() * (values.double() - middle).square()).sum().item()
    half = NORMAL * math.sqrt(variance * effective(weights) / (effective(weights) - 1))
    return middle - half, middle + half


def thinned(weights, seed):
    """Which samples (N,) are kept, each with the probability of its weight over the largest: then all count the same.

    What is kept is a sample of the weighted law without weights, which tests of two samples need.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(weights), generator=generator, dtype=torch.float64) * weights.max() < weights
