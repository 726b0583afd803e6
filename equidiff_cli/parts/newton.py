"""Optimisers that solve for a residual of zero instead of descending: the equation L(x) = L* by its linearisation.

They have the form of those in `optimizers.py`, but for what they take instead of a gradient: the `Linear` of the
residuals that their `rows` chooses.
"""

from typing import NamedTuple

import torch

from equidiff_cli.parts.accepted import accepted
from equidiff_cli.parts.noise import keeper


class Linear(NamedTuple):
    """Residuals near latents, to first order: r(z + s) = r + J s.

    Args:
        residuals: r (N, R), whose squares sum to the loss.
        jacobian: J (N, R, C, H, W).
    """

    residuals: torch.Tensor
    jacobian: torch.Tensor

    @property
    def gradient(self):
        """Of the loss |r|^2, (N, C, H, W): 2 J^T r."""
        return 2 * torch.einsum("nr,nr...->n...", self.residuals, self.jacobian)


class GaussNewton:
    """The step of Gauss and Newton for an underdetermined r(z) = 0, damped as by Levenberg (1944):

        s = -J^T (J J^T + damping min(|r|, 1) tr(J J^T) I)^-1 r,    z <- keep(z + s),

    with a damping that falls with |r|, so that the steps become Newton's (Fan & Yuan 2005, for |r| from 1 on). Without
    any, s is the shortest that solves the linear equation. What `noise` keeps is a surface; J is taken along it, so
    that putting z + s back costs nothing to first order. s is at most `longest` times sqrt(CHW), the norm of noise.

    Args:
        damping: at least 0, relative to the trace of J J^T.
        longest: above 0.
        most: R up to which every residual has a row of J, at the cost of a backward pass each; where there are more,
            the root of the loss is the one residual, as for `Polyak`.
        noise: what is kept of the noise, see `noise.py`.
    """

    def __init__(self, damping, longest, most, noise):
        self.damping = accepted("optimizer.damping", damping)
        self.longest = accepted("optimizer.longest", longest)
        self.most = accepted("optimizer.most", most)
        self.keep = keeper(noise)

    def rows(self, residuals):
        """The residuals (N, R) to linearise, of all (N, K)."""
        return residuals if residuals.shape[1] <= self.most else root(residuals)

    def init(self, z):
        return self.keep.init(z)

    @torch.no_grad()
    def step(self, z, slope, state):
        r, jacobian = slope.residuals, self.keep.tangent(slope.jacobian, z).flatten(2)  # (N, R), (N, R, D)
        gram = jacobian @ jacobian.mT  # (N, R, R)
        trace = gram.diagonal(dim1=1, dim2=2).sum(1)
        eye = torch.eye(gram.shape[1], dtype=z.dtype, device=z.device)
        level = self.damping * trace * r.norm(dim=1).clamp_max(1)
        damped = gram + level.clamp_min(1e-30)[:, None, None] * eye
        solution, _ = torch.linalg.solve_ex(damped, r[:, :, None])  # (N, R, 1); does not fail all for one
        s = -(jacobian.mT @ solution)[..., 0]
        return self.keep(z + capped(s, self.longest).view_as(z), state), state


class Polyak(GaussNewton):
    """The step of Polyak's length to a known least value, here 0 (Polyak 1987, "Introduction to Optimization", 5.3.2).

    With r = sqrt(loss) as the one residual, Gauss-Newton without damping: s = -2 loss / |g|^2 g for g = d loss / d z.
    """

    def __init__(self, longest, noise):
        super().__init__(damping=0.0, longest=longest, most=1, noise=noise)


def root(residuals):
    """The root of the loss, (N, K) -> (N, 1)."""
    return residuals.square().sum(1, keepdim=True).clamp_min(1e-24).sqrt()


def capped(s, longest):
    """s (N, D), its length cut to at most `longest` sqrt(D)."""
    length = s.norm(dim=1, keepdim=True)
    return s * (longest * s.shape[1] ** 0.5 / length.clamp_min(1e-30)).clamp_max(1)
