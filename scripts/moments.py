"""The Frechet distance of a running Gaussian to a fixed one, as a loss."""

import torch
from torch import nn
from torch.nn import functional as F


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

    A batch is too small to tell a covariance. So the distance is that of the running moments of many batches, while its
    gradient is that of moving their moments by those of the last batch (after Mathiasen & Hvilshoj 2020,
    arXiv:2009.14075, who use a batch alone).

    Args:
        real: `moments` of the features of real pictures.
        keep: share of the running moments that stays with each batch, 0 <= keep < 1; first batches count alike.
    """

    def __init__(self, real, keep):
        super().__init__()
        self.keep = keep
        mean, covariance = gaussian(real)
        values, vectors = torch.linalg.eigh(covariance)
        self.register_buffer("real_mean", mean)
        self.register_buffer("real_root", vectors * values.clamp_min(0).sqrt() @ vectors.mT)
        self.register_buffer("variance", covariance.trace())
        self.register_buffer("running", torch.zeros_like(real))
        self.register_buffer("batches", torch.tensor(0))

    def forward(self, features):
        """Take features (N, D) into the running moments; the distance that they have then, a float64 scalar."""
        found = moments(features)
        self.batches += 1
        with torch.no_grad():
            self.running.lerp_(found, max(1 - self.keep, 1 / self.batches.item()))
        return self.distance(self.running + found - found.detach())

    def distance(self, moments):
        """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) over tr(C'), where m' and C' are real (Heusel et al. 2017)."""
        mean, covariance = gaussian(moments)
        values = torch.linalg.eigvalsh(self.real_root @ covariance @ self.real_root)
        overlap = values.clamp_min(1e-10 * self.variance**2).sqrt().sum()  # a root has no slope at 0
        away = (mean - self.real_mean).square().sum()
        return (away + covariance.trace() + self.variance - 2 * overlap) / self.variance
