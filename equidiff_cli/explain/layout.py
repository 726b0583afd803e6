"""Maps of members that have the query's layout, beside the map of the query, place by place."""

import torch
from skimage.metrics import structural_similarity

from equidiff_cli.explain.maps import by_method, maps, strength
from equidiff_cli.metrics.attribution import overlap, rank_correlation
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import MEDIAN, metric

WORDS = words_beside(__file__)
WINDOW = 7  # pixels a side, of the SSIM


def layout(case):
    """The section `layout` of an `Explained`; other scenes are not compared, and it says so."""
    section = Section("layout", case, WORDS, {"top": case.options.top, "near": case.options.near})
    if not len(case.near):
        nearest = case.distances.min().item()
        section.absent(
            "layout",
            f"members show other scenes than the query: the nearest is {nearest:.2g} mean distances of unguided pairs"
            f" away, near={case.options.near:g} is near; place by place there is nothing to compare",
        )
        return section
    by_method(section, (rank, top, ssim), case.every)
    return section


def near(case):
    """What these metrics are of."""
    return case.near


@metric(over=MEDIAN, on=near, null=None)
def rank(set, name):
    return rank_correlation(strength(set, name), strength(set.case.query, name).expand(len(set), -1))


@metric(over=MEDIAN, on=near, null=None)
def top(set, name):
    return overlap(strength(set, name), strength(set.case.query, name).expand(len(set), -1), set.case.options.top)


@metric(over=MEDIAN, on=near, null=None)
def ssim(set, name):
    ours, query = scaled(maps(set, name)), scaled(maps(set.case.query, name))[0]
    return torch.tensor([structural_similarity(one, query, win_size=WINDOW, data_range=2.0) for one in ours])


def scaled(found):
    """Maps (N, H, W) divided by their largest absolute value, as numpy."""
    return (found / found.abs().amax((1, 2), keepdim=True).clamp_min(1e-30)).double().numpy()
