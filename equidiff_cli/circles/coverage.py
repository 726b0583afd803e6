"""How evenly points cover the part of a level curve that lies on the data.

Data points conditioned on f(x) = level lie on the curve with the density p(x) / |grad f(x)| a unit of length (the
coarea formula; Diaconis, Holmes & Shahshahani 2013). Measured by that *mass*, from 0 to 1 along the curve,
an ideal sample is uniform. A closed curve has no beginning, so uniformity is tested with Kuiper's statistic (Kuiper
1960), which does not depend on where the count begins.
"""

import numpy as np
import torch

from equidiff_cli.circles import rings
from equidiff_cli.circles.levelcurve import project, segments, slope

NEAR = 0.25  # the oracle's points have the level within this, in units of the field


class Mass:
    """The mass of points with a density, that of the data, along a curve (list of lines): from 0 at its beginning to 1
    at its end."""

    def __init__(self, field, lines, density=rings.density):
        self.lines = lines
        pieces = segments(lines)
        middle, length = pieces.mean(axis=1), np.linalg.norm(pieces[:, 1] - pieces[:, 0], axis=1)
        gradient = np.linalg.norm(slope(field, middle)[1], axis=1)
        masses = density(middle) / gradient * length
        self.bounds = np.concatenate([[0.0], masses.cumsum() / masses.sum()])  # (S + 1,)

    def __call__(self, points):
        """Where on the curve points (N, 2) lie, or the places nearest to them, (N,) in [0, 1]."""
        _, place = project(points, self.lines)
        return np.interp(place, np.arange(len(self.bounds)), self.bounds)


def kuiper(mass):
    """Kuiper's statistic V sqrt(n) of (n,) numbers in [0, 1] against the uniform law: about 1.2 for a uniform sample.

    V = max(i / n - u_i) + max(u_i - (i - 1) / n), with the u_i in order.
    """
    u, n = np.sort(mass), len(mass)
    return ((np.arange(1, n + 1) / n - u).max() + (u - np.arange(n) / n).max()) * n**0.5


def arcs_hit(mass, arcs):
    """The fraction of `arcs` arcs of equal mass with at least one of the points."""
    return len(np.unique((mass * arcs).astype(int).clip(0, arcs - 1))) / arcs


def near(field, level, count, generator, batch=200_000):
    """`count` fresh data points (count, 2) whose value is within `NEAR` of the level: what an ideal sampler draws."""
    kept, found = [], 0
    while found < count:
        points, _ = rings.draw(batch, generator)
        with torch.no_grad():
            values = field(torch.from_numpy(points).float()).numpy()
        kept.append(points[np.abs(values - level) < NEAR])
        found += len(kept[-1])
        if not found:
            raise ValueError(f"query: none of {batch} data points comes near its level curve; take one on the rings")
    return np.concatenate(kept)[:count]


def compare(mass, oracle):
    """Coverage by samples, beside that of oracle resamples of the same size.

    Args:
        mass: positions of the samples (n,).
        oracle: positions of the oracle's points (m,), cut into m // n resamples.

    Returns a dict: for "kuiper" and "arcs" (n / 2 arcs) the samples' value and the oracle's 5, 50 and 95 % quantiles,
    and the fraction of resamples that are as uneven as the samples or more ("p").
    """
    n = len(mass)
    arcs = max(2, n // 2)
    resamples = oracle[: len(oracle) // n * n].reshape(-1, n)
    uneven = np.array([kuiper(one) for one in resamples])
    hit = np.array([arcs_hit(one, arcs) for one in resamples])
    return {
        "kuiper": (kuiper(mass), *np.quantile(uneven, (0.05, 0.5, 0.95))),
        "arcs": (arcs_hit(mass, arcs), *np.quantile(hit, (0.05, 0.5, 0.95))),
        "p": (uneven >= kuiper(mass)).mean(),
    }
