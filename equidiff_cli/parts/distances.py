"""How far the objective's values are from the target (lines 9 and 10 of the algorithm): (N, K), (K,) -> (N,).

Every distance is at least 0 (`KL` to rounding), is 0 where values and target agree, and is differentiable in both.
Nothing is averaged, neither over K nor over N.

Each is a sum of squares, of its `residuals(values, target)` (N, K), which are 0 where values and target agree, change
sign there, and are differentiable there, too: what a second-order optimiser sets to 0.

A distance whose unit means something by itself has `same`: the loss, of a picture and its low-passed version together,
from which on down they count as the same (`budget.threshold=auto`). Losses of others are in null distances.
"""

import torch
import torch.nn.functional as F

from equidiff_cli.parts.accepted import accepted


class SquaredL2:
    """sum_k (v_k - t_k)^2."""

    def __call__(self, values, target):
        return (values - target).square().sum(dim=1)

    def residuals(self, values, target):
        return values - target


class Huber:
    """sum_k h(v_k - t_k) with h(d) = d^2 / 2 up to |d| = delta, delta (|d| - delta / 2) beyond (Huber 1964).

    Near the target it is half of the squared L2 distance. `ValueError` unless delta is a number above 0.
    """

    def __init__(self, delta):
        self.delta = accepted("distance.delta", delta)

    def __call__(self, values, target):
        return F.huber_loss(values, target.expand_as(values), reduction="none", delta=self.delta).sum(dim=1)

    def residuals(self, values, target):
        """sign(d) sqrt(h(d)): d / sqrt(2) up to |d| = delta."""
        d = values - target
        beyond = (self.delta * (d.abs().clamp_min(self.delta) - self.delta / 2)).sqrt() * d.sign()
        return torch.where(d.abs() <= self.delta, d / 2**0.5, beyond)


class Cosine:
    """1 - cos(v, t), in [0, 2], for K >= 2: with a single value only its sign would count.

    Computed as |v/|v| - t/|t||^2 / 2, the same number, which does not cancel near 0. A row of zeros has no direction
    and gets 1/2. `ValueError` for K = 1 and for a target of zeros.
    """

    same = 0.1  # both cosines 0.95 on average: 18 degrees

    def __call__(self, values, target):
        if values.shape[1] < 2:
            raise ValueError(f"distance=cosine: needs at least 2 values, the objective gives {values.shape[1]}")
        if not target.any():
            raise ValueError("distance=cosine: needs a direction, but every value of the target is 0")
        return 0.5 * (_unit(values) - _unit(target)).square().sum(dim=1)

    def residuals(self, values, target):
        """(v/|v| - t/|t|) / sqrt(2)."""
        return (_unit(values) - _unit(target)) / 2**0.5


def _unit(x):
    """(..., K) scaled to length 1; zeros stay zeros, with a finite gradient."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(length > 0, length, 1)


class KL:
    """KL(target || values) = sum_k t_k log(t_k / v_k) of probability vectors (Kullback & Leibler 1951).

    Probabilities count as at least 1e-12. `ValueError` unless target and every row of values are at least 0 and sum to
    1 within 1e-3; a row with a NaN passes and has the distance NaN, as with the other distances.
    """

    same = 0.01  # nats; no event differs by more than 7 % in probability (Pinsker's inequality)

    def __call__(self, values, target):
        for rows in (values, target):
            if (rows < 0).any() or ((rows.sum(dim=-1) - 1).abs() > 1e-3).any():
                needed = "probabilities (at least 0, sum 1), such as those of objective=probability objective.label=all"
                raise ValueError(f"distance=kl: needs {needed}")
        log_ratio = target.clamp_min(1e-12).log() - values.clamp_min(1e-12).log()
        return (target * log_ratio).sum(dim=1)

    def residuals(self, values, target):
        """sign(v_k - t_k) sqrt(t_k log(t_k / v_k) - t_k + v_k), whose squares sum to KL as both sum to 1.

        For v_k near t_k this is (v_k - t_k) / sqrt(2 t_k) to first order, which stands in where the root would be of
        rounding errors.
        """
        t, v = target.clamp_min(1e-12), values.clamp_min(1e-12)
        ratio = (v - t) / t
        near = ratio.abs() < 1e-2
        u = torch.where(near, 1.0, ratio)  # keeps the gradient of the branch that is not taken finite
        exact = u.sign() * (t * (u - torch.log1p(u)).clamp_min(1e-38)).sqrt()
        return torch.where(near, t.sqrt() * ratio / 2**0.5 * (1 - ratio / 3), exact)
