"""Completeness over the set: attributions that sum to L(x) - L(baseline) have the same total on every member."""

from equidiff_cli.explain.maps import SPREAD, alike, by_method, complete, totals, value, words
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import MEDIAN, metric, query

WORDS = words_beside(__file__)


def completeness(case):
    """The section `completeness` of an `Explained`."""
    section, names = Section("completeness", case, WORDS), complete(case)
    by_method(section, (total_spread, total_delta, total_delta_query), names)
    lines = [{"name": words(name), "values": totals(case.samples, name).tolist()} for name in names]
    expected = {"name": "L(x) - L(baseline)", "values": owed(case.samples).tolist()}
    if names:
        section.curve("totals", [record["index"] for record in case.members], [expected, *lines])
    for name in names:
        section.column("total", totals(case.samples, name).tolist(), name=name, method=words(name))
    return section


def owed(set):
    """L(x) - L(baseline), (N,), in null spreads."""
    case = set.case
    return (value(set) - case.forward.measure(case.baseline, 1)).double()


@metric(over=SPREAD, needs=2, null=alike)
def total_spread(set, name):
    return totals(set, name)


@metric(over=MEDIAN, null=alike)
def total_delta(set, name):
    return (totals(set, name) - owed(set)).abs()


@metric(over=MEDIAN, on=query, null=None)
def total_delta_query(set, name):
    return (totals(set, name) - owed(set)).abs()
