"""What is computed of the pictures of a set once: attributions, their cells, their maps on the picture."""

import torch

from equidiff_cli.explain.cells import pooled
from equidiff_cli.explain.methods import EVERY, METHODS, attributions
from equidiff_cli.study.metric import Statistic, mean, resampled
from equidiff_cli.study.sets import each

FEW = "fewer than 2 unguided samples are of the query's class"


@each
def inputs(set):
    """What the network takes, (N, C, h, w)."""
    return set.case.forward.enter(set.pictures)


@each
def value(set):
    """The explained number (N,) in null spreads."""
    return set.case.forward.measure(inputs(set), set.case.options.batch)


@each
def raw(set, name):
    """Attributions (N, C or 1, h, w) to the inputs by a method."""
    case = set.case
    return attributions(name, case.forward, inputs(set), case.baseline, case.settings)


@each
def cells(set, name):
    """Their sums in cells, (N, P)."""
    return pooled(raw(set, name), set.case.options.cells)


@each
def strength(set, name):
    """How much a method says of each cell, whatever its sign, (N, P)."""
    return cells(set, name).abs()


@each
def maps(set, name):
    """Maps (N, H, W) on the picture."""
    return set.case.forward.back(raw(set, name), set.pictures.shape[1:])


def totals(set, name):
    """Sums (N,) of all attributions."""
    return raw(set, name).double().flatten(1).sum(1)


def by_method(section, metrics, names, say=None):
    """Add metrics of every method to a section, the methods beside each other for each metric."""
    for one in metrics:
        for name in names:
            section.add(one, say=dict(method=words(name), few=FEW) | (say or {}), name=name)


def words(name):
    """The name of a method as people write it."""
    return {
        "input_x_gradient": "input x gradient",
        "integrated_gradients": "integrated gradients",
        "gradient_shap": "GradientSHAP",
        "guided_backprop": "guided backprop",
        "deeplift": "DeepLIFT",
        "gradcam": "Grad-CAM",
        "lime": "LIME",
        "kernel_shap": "KernelSHAP",
        "random": "random maps",
    }.get(name, name)


def complete(case):
    """The methods whose attributions have to sum to L(x) - L(baseline)."""
    return [name for name in case.methods if METHODS[name].complete]


def signed(case):
    """The methods that tell what speaks against the value, random maps among them."""
    return [name for name in case.every if EVERY[name].signed]


def alike(unguided, _count):
    """The unguided samples of the query's class; none where they are too few to say anything."""
    return [unguided] if len(unguided) >= 2 else []


def spread(rows):
    """Standard deviations (R,) of rows (R, N)."""
    return rows.double().std(-1)


def quartiles(rows):
    """Interquartile ranges (R,) of rows (R, N)."""
    low, high = rows.double().quantile(torch.tensor([0.25, 0.75], dtype=torch.float64), dim=-1)
    return high - low


SPREAD, QUARTILES, MEAN = (Statistic(one, resampled(one)) for one in (spread, quartiles, mean))
