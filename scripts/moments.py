"""The Frechet distance of samples to real pictures as a loss, while the samples change."""

import torch
from torch import nn
from torch.nn import functional as F

from equidiff_cli.metrics.frechet import square_root


def moments(features):
    """The mean outer product of features (N, D) with a 1 appended, (D + 1, D + 1) float64: the mean is in its edges."""
    x = F.pad(features, (0, 1), value=1.0)
    return (x.mT @ x).double() / len(x)


def gaussian(moments):
    """Mean (D,) and covariance (D, D) of features with these `moments`."""
    mean = moments[-1, :-1]
    return mean, moments[:-1, :-1] - torch.outer(mean, mean)


class FrechetLoss(nn.Module):
    """The squared Frechet distance of features to those of real pictures, over the total variance of the latter.

    A batch is too small to tell a covariance. So the distance is that of all samples, of which is known what they were
    at first, and how moments of the same samples have changed since, on average over recent batches, beginning with no
    change. Its gradient is that of moving these moments by those of the last batch (after Mathiasen & Hvilshoj 2020,
    arXiv:2009.14075, who use a batch alone).

    Args:
        real: `moments` of the features of real pictures.
        first: `moments` of the features that all samples had at first.
        keep: share of the average change that stays with each batch, 0 <= keep < 1.
    """

    def __init__(self, real, first, keep):
        super().__init__()
        self.keep = keep
        mean, covariance = gaussian(real)
        self.register_buffer("real_mean", mean)
        self.register_buffer("real_root", square_root(covariance))
        self.register_buffer("variance", covariance.trace())
        self.register_buffer("first", first.clone())
        self.register_buffer("change", torch.zeros_like(first))

    def forward(self, features, at_first):
        """Take in the features (N, D) of a batch and those that its samples had at first; the distance, a scalar."""
        found = moments(features)
        with torch.no_grad():
            self.change.lerp_(found - moments(at_first), 1 - self.keep)
        return self.distance(self.first + self.change + found - found.detach())

    def distance(self, moments):
        """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) over tr(C'), where m' and C' are real (Heusel et al. 2017)."""
        mean, covariance = gaussian(moments)
        values = torch.linalg.eigvalsh(self.real_root @ covariance @ self.real_root)
        overlap = values.clamp_min(1e-10 * self.variance**2).sqrt().sum()  # a root has no slope at 0
        away = (mean - self.real_mean).square().sum()
        return (away + covariance.trace() + self.variance - 2 * overlap) / self.variance
