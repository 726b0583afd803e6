"""Control: a map that stays the same when the network forgets what it learnt explains nothing of it."""

from contextlib import contextmanager

import torch

from equidiff_cli.explain.cells import pooled
from equidiff_cli.explain.maps import alike, by_method, inputs, strength, words
from equidiff_cli.explain.methods import attributions, seeded
from equidiff_cli.metrics.attribution import rank_correlation
from equidiff_cli.study.findings import Section, line, words_beside
from equidiff_cli.study.metric import MEDIAN, median, metric
from equidiff_cli.study.sets import each

WORDS = words_beside(__file__)
SHARES = (0.25, 0.5, 1.0)  # of the layers, from the output on


def control(case):
    """The section `control` of an `Explained`."""
    section = Section("control", case, WORDS)
    if case.forward.model is None:
        section.absent("control", "the target is no torch module whose weights could be randomised")
        return section
    by_method(section, (unchanged,), case.methods)
    lines = []
    for name in case.methods:
        found = torch.stack([alike_after(case.samples, name, share) for share in SHARES], 1).double()
        low, high = found.quantile(torch.tensor([0.25, 0.75], dtype=torch.float64), dim=0)
        lines.append(line(words(name), median(found.T), low, high, len(found)))
    section.curve("cascade", SHARES, lines)
    return section


@contextmanager
def randomised(model, share, seed):
    """The network with the weights of the last `share` of its layers shuffled within each tensor while this lasts.

    Cascading randomisation (Adebayo et al. 2018, arXiv:1810.03292) from the output on; shuffled, not drawn anew, so
    that activations keep their scale.
    """
    weights = [one for one in model.parameters() if one.ndim > 1]
    chosen = weights[len(weights) - max(1, round(share * len(weights))) :]
    before = [one.detach().clone() for one in chosen]
    try:
        with seeded(seed), torch.no_grad():
            for one in chosen:
                order = torch.randperm(one.numel()).to(one.device)
                one.copy_(one.flatten()[order].view_as(one))
        yield
    finally:
        with torch.no_grad():
            for one, was in zip(chosen, before, strict=True):
                one.copy_(was)


@each
def alike_after(set, name, share):
    """Rank correlation (N,) of absolute sums in cells before and after."""
    case = set.case
    with randomised(case.forward.model, share, case.options.seed):
        after = attributions(name, case.forward, inputs(set), case.baseline, case.settings)
    return rank_correlation(strength(set, name), pooled(after, case.options.cells).abs())


@metric(over=MEDIAN, null=alike)
def unchanged(set, name):
    return alike_after(set, name, 1.0)
