"""Faithfulness: does the value follow when what a map points at is taken away, or alone is left?"""

import torch

from equidiff_cli.explain.cells import cell_of, masked
from equidiff_cli.explain.maps import QUARTILES, alike, by_method, cells, inputs, value, words
from equidiff_cli.explain.methods import seeded
from equidiff_cli.metrics.attribution import highest, infidelity
from equidiff_cli.study.findings import Section, line, words_beside
from equidiff_cli.study.metric import MEDIAN, SHARE, median, metric, query
from equidiff_cli.study.sets import each

WORDS = words_beside(__file__)
LEVELS = 8  # steps in which cells are taken away
RANDOM_ORDERS = 19  # a map that beats all of them is better than random at the level of 5 %
REMOVALS = 64  # random ones, for the infidelity
CURVES = ("deletion", "insertion")


def faithfulness(case):
    """The section `faithfulness` of an `Explained`."""
    facts = {"top": case.options.top, "orders": RANDOM_ORDERS, "removals": REMOVALS}
    section, names = Section("faithfulness", case, WORDS, facts), case.every
    by_method(section, (gain, gain_query, gain_spread, gain_beats), names)
    by_method(section, (sufficiency, sufficiency_query, infidelity_of), names)
    shares = [k / LEVELS for k in range(1, LEVELS)]
    for row, name in enumerate(CURVES):
        lines = []
        for method in names:
            found = curves(case.samples, method)[:, row].double()
            low, high = found.quantile(torch.tensor([0.25, 0.75], dtype=torch.float64), dim=0)
            lines.append(line(words(method), median(found.T), low, high, len(found)))
        section.curve(name, shares, lines)
    for name in case.methods:
        section.column("gain", gains(case.samples, name).tolist(), name=name, method=words(name))
    return section


def walked(set, first):
    """Values (N, 2, LEVELS - 1) relative to the picture's own, after cells were taken away in an order, and after the
    same cells alone were left.

    Args:
        first: (N, P), the cells with the highest numbers go first.
    """
    count = first.shape[1]
    place = torch.empty_like(first, dtype=torch.long)
    place.scatter_(1, first.argsort(dim=1, descending=True, stable=True), torch.arange(count).expand_as(place))
    taken = torch.stack([place < round(k * count / LEVELS) for k in range(1, LEVELS)], 1)  # (N, LEVELS - 1, P)
    return perturbed(set, torch.stack([~taken, taken], 1)) - value(set)[:, None, None]


def perturbed(set, kept):
    """Values (N, ...) with the baseline in place of cells that `kept` (N, ..., P) does not have."""
    case, found = set.case, []
    where = cell_of(*inputs(set).shape[-2:], case.options.cells)
    for x, of_picture in zip(inputs(set), kept, strict=True):
        flat = of_picture.flatten(0, -2)
        parts = [
            case.forward.measure(masked(x[None], case.baseline, some, where), case.options.batch)
            for some in flat.split(case.options.batch)
        ]
        found.append(torch.cat(parts).view(of_picture.shape[:-1]))
    return torch.stack(found)


@each
def curves(set, name):
    """Deletion and insertion (N, 2, LEVELS - 1), in null spreads from the value of the picture."""
    return walked(set, cells(set, name))


def gained(found):
    """Mean distance (N,) of the insertion curve above the deletion curve.

    A random order has 0, whatever the network: the same cells are then as likely to be left as to be taken (the
    symmetric relevance gain of Bluecher et al. 2024, arXiv:2401.06654).
    """
    return (found[:, 1] - found[:, 0]).mean(1)


def gains(set, name):
    """What an order by a method gains over a random one, (N,) in null spreads."""
    return gained(curves(set, name))


@each
def by_chance(set):
    """What random orders gain, (N, RANDOM_ORDERS)."""
    count = len(set), int(cell_of(*inputs(set).shape[-2:], set.case.options.cells).max()) + 1
    with seeded(set.case.options.seed):
        orders = torch.rand(RANDOM_ORDERS, 1, count[1]).expand(-1, count[0], -1)
    return torch.stack([gained(walked(set, one)) for one in orders], 1)


@each
def removals(set):
    """Values (N, REMOVALS) lost with random halves of the cells, and those sets, (N, REMOVALS, P), in one tensor
    (N, REMOVALS, 1 + P)."""
    count = int(cell_of(*inputs(set).shape[-2:], set.case.options.cells).max()) + 1
    with seeded(set.case.options.seed):
        sets = torch.rand(REMOVALS, count).argsort(1) < count // 2
    sets = sets.expand(len(set), -1, -1)
    lost = value(set)[:, None] - perturbed(set, ~sets)
    return torch.cat([lost[..., None], sets.float()], -1)


@metric(over=MEDIAN, null=alike)
def gain(set, name):
    return gains(set, name)


@metric(over=MEDIAN, on=query, null=None)
def gain_query(set, name):
    return gains(set, name)


@metric(over=QUARTILES, needs=4, null=alike)
def gain_spread(set, name):
    return gains(set, name)


@metric(over=SHARE, null=alike)
def gain_beats(set, name):
    return gains(set, name) > by_chance(set).amax(1)


@metric(over=MEDIAN, null=alike)
def sufficiency(set, name):
    kept = highest(cells(set, name), set.case.options.top)
    return (perturbed(set, kept[:, None])[:, 0] - value(set)).abs()


@metric(over=MEDIAN, on=query, null=None)
def sufficiency_query(set, name):
    return sufficiency.function(set, name)


@metric(over=MEDIAN, null=alike)
def infidelity_of(set, name):
    lost, sets = removals(set)[..., 0], removals(set)[..., 1:]
    return infidelity((sets * cells(set, name)[:, None]).sum(2), lost)
