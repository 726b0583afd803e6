"""A metric: one function of a set, and how a number, its interval and what chance gives are made with it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from equidiff_cli.metrics.interval import bootstrap, newcombe, wilson

FEWEST = 4  # samples that a bootstrap makes sense with
GROUPS = 8  # of unguided samples, each as many as there are samples


@dataclass(frozen=True)
class Statistic:
    """One number of many.

    Args:
        value: (N,) -> a number.
        interval: (N,) and a seed -> (low, high, what this interval is), or None for too few numbers.
    """

    value: Callable
    interval: Callable


def median(rows):
    """Medians (R,) of rows (R, N)."""
    return rows.double().quantile(0.5, dim=-1)


def mean(rows):
    """Means (R,) of rows (R, N)."""
    return rows.mean(-1)


def share(hits):
    """The share of True in (N,), in [0, 1]."""
    return hits.double().mean()


def resampled(statistic):
    """The interval of a statistic by bootstrap."""

    def interval(values, seed):
        return (*bootstrap(values, statistic, seed), "95 % bootstrap over samples") if len(values) >= FEWEST else None

    return interval


def of_share(hits, _seed):
    """The interval of a share."""
    return *wilson(hits.sum().item(), len(hits)), "95 % Wilson"


def of_difference(pair, _seed):
    """The interval of a difference of shares."""
    return *newcombe(*pair), "95 % Newcombe"


def difference(pair):
    """The share of True in the first of (2, N) less that in the second, in [-1, 1]."""
    return share(pair[0]) - share(pair[1])


MEDIAN = Statistic(median, resampled(median))
MEAN = Statistic(mean, resampled(mean))
SHARE = Statistic(share, of_share)
DIFFERENCE = Statistic(difference, of_difference)


def samples(case):
    """What most metrics are of."""
    return case.samples


def query(case):
    """For metrics that say how the query itself fares."""
    return case.query


def everything(unguided, _count):
    """All unguided samples: for numbers that do not depend on how many there are."""
    return [unguided]


def as_many(unguided, count):
    """The first unguided samples, as many as there are samples."""
    return [unguided[:count]]


def apart(unguided, count):
    """As many unguided samples, none of which is in `case.reference`."""
    return [unguided[: min(count, unguided.case.half)]]


def groups(unguided, count):
    """Up to `GROUPS` groups of as many unguided samples, without common members; none if there are fewer."""
    return [unguided[i * count : (i + 1) * count] for i in range(min(GROUPS, len(unguided) // count))]


def groups_or_all(unguided, count):
    """As `groups`; one of all if there are fewer."""
    return groups(unguided, count) or [unguided]


@dataclass(frozen=True)
class Metric:
    """A function of a set and of parameters that gives a number, or None where it is not defined.

    Args:
        function: gives the number, or numbers (N,) which `over` sums up.
        over: the `Statistic` of the numbers, which also knows their interval.
        on: gives the set of a case that the number is of.
        null: gives sets of unguided samples from all of them and the size of the set, over which the mean is taken:
            what chance gives. None where that makes no sense.
        needs: below how many pictures the number is not reported.
        of_pictures: whether it is of pictures alone, so that pictures that the prior did not make have it, too.
    """

    function: Callable
    over: Statistic | None = None
    on: Callable = samples
    null: Callable | None = everything
    needs: int = 1
    of_pictures: bool = True

    @property
    def name(self):
        """What its words are found by."""
        return self.function.__name__

    @property
    def of_query(self):
        """Whether it says something of the query, which its name tells."""
        return "query" in self.name.split("_")

    def __call__(self, set, **parameters):
        """The number of a set."""
        found = self.function(set, **parameters)
        return self.over.value(found) if self.over else found

    def interval(self, set, **parameters):
        """(low, high, what this interval is), or None."""
        return self.over.interval(self.function(set, **parameters), set.case.options.seed) if self.over else None

    def chance(self, unguided, count, **parameters):
        """The same number for unguided samples, or None where there is none."""
        numbers = [self(part, **parameters) for part in (self.null(unguided, count) if self.null else [])]
        if not numbers or any(number is None for number in numbers):
            return None
        tensors = isinstance(numbers[0], torch.Tensor)
        return torch.stack(numbers).mean() if tensors else sum(numbers) / len(numbers)


def metric(function=None, **options):
    """Make a function of a set a `Metric`: `@metric`, or with options, `@metric(needs=2)`."""
    return Metric(function, **options) if function else functools.partial(Metric, **options)
