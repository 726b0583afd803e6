"""Do methods agree on one picture, and does their agreement on the query carry over to members?"""

import itertools

import torch

from equidiff_cli.explain.maps import MEAN, alike, by_method, cells, signed, strength
from equidiff_cli.metrics.attribution import overlap, rank_correlation, sign_agreement
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import metric, query
from equidiff_cli.study.sets import each

WORDS = words_beside(__file__)


def agreement(case):
    """The section `agreement` of an `Explained`."""
    section = Section("agreement", case, WORDS, {"top": case.options.top})
    if len(case.methods) < 2:
        section.absent("agreement", "needs two methods")
        return section
    by_method(section, (agree_rank, agree_rank_query, agree_top), case.every)
    by_method(section, (agree_sign,), signed(case))
    section.add(carry_over, case.no_query or (None if len(pairs(case)) >= 3 else "needs three methods"))
    return section


def pairs(case):
    """All pairs of methods, random maps left out."""
    return list(itertools.combinations(sorted(case.methods), 2))


def table(case):
    """How two methods rank the cells of a picture alike, a dict a pair: on the query, and the mean over members and
    over unguided samples."""
    sets = {"query": case.query, "members": case.samples, "unguided": case.unguided}
    return [
        {"first": a, "second": b}
        | {name: ranked(set, a, b).mean().item() if len(set) else None for name, set in sets.items()}
        for a, b in pairs(case)
    ]


@each
def ranked(set, a, b):
    """Rank correlation (N,) of two methods over cells."""
    return rank_correlation(strength(set, a), strength(set, b))


def others(set, name, names):
    """The methods that one is compared with."""
    return [other for other in names if other != name and other in set.case.methods]


def over_others(set, name, names, function):
    """The mean (N,) of a function of two methods over the other ones."""
    return torch.stack([function(other) for other in others(set, name, names)]).mean(0)


@metric(over=MEAN, null=alike)
def agree_rank(set, name):
    return over_others(set, name, set.case.methods, lambda other: ranked(set, *sorted((name, other))))


@metric(over=MEAN, on=query, null=None)
def agree_rank_query(set, name):
    return agree_rank.function(set, name)


@metric(over=MEAN, null=alike)
def agree_top(set, name):
    top = set.case.options.top
    return over_others(
        set, name, set.case.methods, lambda other: overlap(strength(set, name), strength(set, other), top)
    )


@metric(over=MEAN, null=alike)
def agree_sign(set, name):
    names = signed(set.case)
    if not others(set, name, names):
        raise ValueError("no other method tells what speaks against the value")
    return over_others(set, name, names, lambda other: sign_agreement(cells(set, name), cells(set, other)))


@metric(null=alike)
def carry_over(set):
    found = pairs(set.case)
    means = torch.stack([ranked(set, *pair).mean() for pair in found])
    before = torch.stack([ranked(set.case.query, *pair)[0] for pair in found])
    return rank_correlation(before[None], means[None])[0]
