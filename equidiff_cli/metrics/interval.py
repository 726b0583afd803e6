"""How uncertain a number from a few samples is."""

import math

import torch

LEVEL = 0.95  # of every interval
NORMAL = 1.959963984540054  # the quantile of the normal distribution that belongs to it


def bootstrap(values, statistic, seed, resamples=1000):
    """Percentile bootstrap interval (low, high) at 95 % (Efron & Tibshirani 1993, chapter 13).

    It resamples the N samples, so it says how the statistic varies between runs with other seeds, as far as N samples
    can tell; below about 8 it is too narrow.

    Args:
        values: (N,), one number a sample.
        statistic: (R, N) -> (R,), such as `lambda v: v.median(dim=1).values`.
        seed: of the resampling.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(values), (resamples, len(values)), generator=generator)
    found = statistic(values.cpu()[chosen]).double()
    low, high = found.quantile(torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)).tolist()
    return low, high


def wilson(successes, count):
    """Wilson's score interval (low, high) at 95 % of a share `successes / count`, in [0, 1] (Wilson 1927).

    Unlike the usual interval it does not shrink to a point when all or none succeed.
    """
    share, z2 = successes / count, NORMAL**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = NORMAL / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def clopper_pearson(successes, count):
    """The exact interval (low, high) at 95 % of a share `successes / count`, in [0, 1] (Clopper & Pearson 1934).

    It holds the true share at least that often, also where `count` is as many as it took until so many succeeded: the
    lower bound is then the exact one, the upper one above it. Wilson's does not, for few successes: 85 % for one.
    """

    def solved(hits, tail):
        """The share at which `hits` or fewer of `count` have the probability `tail`, by bisection."""
        k = torch.arange(hits + 1, dtype=torch.float64)
        ways = math.lgamma(count + 1) - (k + 1).lgamma() - (count - k + 1).lgamma()
        low, high = 0.0, 1.0
        while high - low > 1e-9 * high and high > 1e-300:
            share = (low + high) / 2
            below = (ways + k * math.log(share) + (count - k) * math.log1p(-share)).logsumexp(0).exp().item()
            low, high = (share, high) if below > tail else (low, share)
        return (low + high) / 2

    tail = (1 - LEVEL) / 2
    low = solved(successes - 1, 1 - tail) if successes else 0.0
    return low, solved(successes, tail) if successes < count else 1.0


def newcombe(first, second):
    """Interval (low, high) at 95 %, in [-1, 1], of the difference of two shares of the same samples: Newcombe (1998,
    "Improved confidence intervals for the difference between binomial proportions based on paired data"), method 10.

    Wilson's intervals of both, squared and added, less what the answers have in common (their correlation phi). It does
    not shrink to a point where all samples agree.

    Args:
        first, second: (N,) of booleans, one a sample.
    """
    count = len(first)
    (p, q), both = (int(hits.sum()) for hits in (first, second)), int((first & second).sum())
    (low_p, high_p), (low_q, high_q) = wilson(p, count), wilson(q, count)
    scale = math.sqrt(p * (count - p) * q * (count - q))
    agree = both * (count - p - q + both) - (p - both) * (q - both)
    phi = (agree if agree < 0 else max(agree - count / 2, 0)) / scale if scale else 0.0
    p, q = p / count, q / count

    def added(a, b):
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    return max(p - q - added(p - low_p, high_q - q), -1.0), min(p - q + added(high_p - p, q - low_q), 1.0)
