"""How many kinds of reasons one decision has, and how coarse the reasons are."""

import torch

from equidiff_cli.explain.maps import alike, by_method, cells, maps
from equidiff_cli.metrics.attribution import high_share, unit
from equidiff_cli.metrics.diversity import vendi_score
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import MEDIAN, groups, metric

WORDS = words_beside(__file__)
HIGH = 0.5  # above this fraction of Nyquist frequencies count as high


def variety(case):
    """The section `variety` of an `Explained`."""
    section = Section("variety", case, WORDS, {"high": HIGH})
    by_method(section, (vendi, high, kept), case.every)
    return section


@metric(needs=4, null=groups)
def vendi(set, name):
    found = unit(cells(set, name).double())
    return vendi_score(found @ found.T)


@metric(over=MEDIAN, null=alike)
def high(set, name):
    return high_share(maps(set, name), HIGH)


@metric(over=MEDIAN, null=alike)
def kept(set, name):
    whole = maps(set, name)
    low = set.case.case.lowpass(whole[:, None].expand(-1, 3, -1, -1).clone())[:, 0]
    return low.square().sum((1, 2)) / whole.square().sum((1, 2)).clamp_min(torch.finfo(torch.float32).tiny)
