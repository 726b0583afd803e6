"""How far values of the objective are from the query's, in units of what chance gives.

Values have shape (N, K): one row a picture, K numbers of the objective. Differences are Euclidean over K, whatever
distance a run optimised, so that errors have the unit of the objective.
"""

import torch


def errors(values, target):
    """|L(x) - L*| (N,), at least 0, in units of the objective; for values (N, K) and the query's values (K,)."""
    return (values - target).norm(dim=1)


def furthest(values, target, units):
    """The errors (N,) of values (N, K) in the term that is furthest off, each term in a unit of its own: what is not
    held in small numbers does not hide behind what is held in large ones.

    Args:
        units: (columns, unit) of each term.
    """
    return torch.stack([errors(values[:, columns], target[columns]) / unit for columns, unit in units]).amax(0)


def spread(values):
    """Standard deviation of the objective, a number of at least 0, for values (N, K) of N >= 2 unguided samples.

    Over several values it is the root of the summed variances, which is the root mean square distance to the mean.
    The variances divide by N - 1.
    """
    return values.var(dim=0).sum().sqrt().item()


def nearer(values, target):
    """Whether each of the values (M, K) is nearer to their mean than the query's (K,): (M,) of booleans."""
    mean = values.mean(dim=0)
    return (values - mean).norm(dim=1) < (target - mean).norm()
