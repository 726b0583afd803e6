"""What other networks say: log-odds of their classes, and the leading directions of their features."""

import torch

from equidiff_cli.audit.attributes.attribute import Attribute
from equidiff_cli.study.sets import each
from equidiff_cli.target.probabilities import logits

MOST = 10  # classes of one network: all of few, else those that it finds most probable in the query
DIRECTIONS = 5


def of_classes(case, network):
    """An `Attribute` for each class of a `Network`, at most `MOST`: the log-odds of the class."""
    likely = case.query.logits(network)[0].argsort(descending=True)[:MOST].sort().values.tolist()
    return [of_class(network, index) for index in likely]


def of_class(network, index):
    """The log-odds ln(p / (1 - p)) of a class by a network."""
    called = network.classes[index].split(", ")[0]

    @each
    def values(set):
        given = logits(network.target, set.logits(network).double())
        others = torch.cat([given[:, :index], given[:, index + 1 :]], 1)
        return given[:, index] - others.logsumexp(1)

    name, title = f"{network.key}_{called}".replace(" ", "_"), f"{called}, says {network.name}"
    return Attribute(name, title, f"not {called}", called, values, "log-odds of the class", split=0.0)


def of_directions(case, network):
    """The leading principal components of a network's features over unguided samples, as `Attribute`s; fewer where
    features have fewer dimensions."""
    found = case.unguided.features(network).double()
    middle = found.mean(0)
    axes = torch.linalg.svd(found - middle, full_matrices=False).Vh[:DIRECTIONS]
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()  # the same sign every time
    return [of_direction(network, i, middle, axis) for i, axis in enumerate(axes, 1)]


def of_direction(network, number, middle, axis):
    """The coordinate along one direction (D,)."""

    @each
    def values(set):
        return (set.features(network).double() - middle) @ axis

    name, title = f"{network.key}_direction_{number}", f"direction {number} of features of {network.name}"
    source = "principal component of features over unguided samples"
    return Attribute(name, title, "one end", "the other end", values, source)
