"""Two ways of drawing held against each other, over several queries: a difference, its interval, a verdict."""

from dataclasses import dataclass

import torch

RESAMPLES = 500
SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"


@dataclass(frozen=True)
class Quantity:
    """What is compared.

    Args:
        name: in words.
        of: what was drawn for a query -> rows (N, ...), one a sample.
        value: rows -> a number.
        half: whether it is taken of half of the samples, drawn without repeats, and of as many of both that are
            compared: for what depends on how many there are and would be changed by repeats.
    """

    name: str
    of: object
    value: object
    half: bool = False


def median(rows):
    return rows.double().quantile(0.5).item()


def share(rows):
    return rows.double().mean().item()


def values(quantity, parts, seed, others=None):
    """The mean over queries of a quantity of each of `parts`, and `RESAMPLES` of it, samples drawn anew within each
    query (Efron & Tibshirani 1993); what is taken of half has the mean of these in the place of the first."""
    generator = torch.Generator().manual_seed(seed)
    rows = [quantity.of(part) for part in parts]
    most = [min(map(len, pair)) for pair in zip(rows, map(quantity.of, others or parts), strict=True)]
    found = torch.tensor(
        [
            [
                quantity.value(one[chosen(len(one), size // 2 if quantity.half else None, generator)])
                for one, size in zip(rows, most, strict=True)
            ]
            for _ in range(RESAMPLES // (5 if quantity.half else 1))
        ],
        dtype=torch.float64,
    ).mean(1)
    whole = sum(quantity.value(one) for one in rows) / len(rows)
    return found.mean().item() if quantity.half else whole, found


def chosen(count, some, generator):
    """Rows of a resample of `count`; or `some` of them, none twice."""
    if some is not None:
        return torch.randperm(count, generator=generator)[: max(some, 1)]
    return torch.randint(count, (count,), generator=generator)


def bounds(found):
    """The middle 95 % of resamples."""
    return tuple(found.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist())


def compared(quantity, first, second, lower, seed=0):
    """A row: the value of `first` and of `second` with their intervals, their difference, and whether that is as
    claimed.

    Args:
        first, second: what was drawn, one a query.
        lower: whether the claim is that the first has less (True), or more.
    """
    (a, some), (b, others) = values(quantity, first, seed, second), values(quantity, second, seed + 1, first)
    low, high = bounds(some - others)
    as_claimed, against = (high < 0, low > 0) if lower else (low > 0, high < 0)
    verdict = SUPPORTED if as_claimed else REFUTED if against else UNDECIDED
    return [
        quantity.name,
        f"{a:.3g} {interval(some)}",
        f"{b:.3g} {interval(others)}",
        f"{a - b:.3g} [{low:.3g}, {high:.3g}]",
        verdict,
    ]


def interval(found):
    low, high = bounds(found)
    return f"[{low:.3g}, {high:.3g}]"


def overall(verdicts):
    """One verdict of several: what all of them say, else undecided."""
    return next(iter(verdicts)) if len(set(verdicts)) == 1 else UNDECIDED
