"""What of the target is held: each objective maps pictures (N, 3, H, W) in [0, 1] to values (N, K).

Every class takes the target and the query (1, 3, H, W) first, then the options of its configuration group, checks
them, and describes itself in `description`. Anything with this signature can be named as `objective._target_`:
a class, or a function that returns a function of pictures.
"""

from collections.abc import Mapping, Sequence
from math import prod

import torch

from equidiff_cli.checks import number, one_of
from equidiff_cli.target.probabilities import given, probabilities
from equidiff_cli.target.reading import Reading
from equidiff_cli.target.target import top_class


def resolve(target, query, key, label):
    """The class index for an option: a class index or name, or None for the query's top class."""
    return top_class(target, query) if label is None else target.class_index(key, label)


class Logit:
    """One class logit, K = 1."""

    def __init__(self, target, query, label):
        self.target, self.index = target, resolve(target, query, "objective.label", label)
        self.description = f"{'probability' if given(target) else 'logit'} of {target.classes[self.index]}"

    def __call__(self, x):
        return self.target(x)[:, self.index, None]


class Logits:
    """Several class logits, K = number of labels, or all of them ("all")."""

    def __init__(self, target, query, labels):
        self.target = target
        if labels == "all":
            self.index = list(range(len(target.classes)))
        elif isinstance(labels, (str, int, Mapping)) or not labels:
            raise ValueError(f"objective.labels={labels}: must be all or a list of classes, such as [cat,dog]")
        else:
            self.index = [target.class_index("objective.labels", label) for label in labels]
            if twice := [label for i, label in enumerate(labels) if self.index[i] in self.index[:i]]:
                raise ValueError(f"objective.labels={labels}: has the class {twice[0]} twice")
        which = "all classes" if labels == "all" else ", ".join(target.classes[i] for i in self.index)
        self.description = f"{'probabilities' if given(target) else 'logits'} of {which}"

    def __call__(self, x):
        return self.target(x)[:, self.index]


class Probability:
    """Probabilities: of one class (K = 1) or of all ("all", for `distance=kl`).

    Args:
        label: a class, None for the query's top class, or "all".
        link: from logits to probabilities: "softmax" over all classes, or "sigmoid" of each alone, for heads with one
            output or with several labels at once. Runs of before there was the choice recorded none and are "softmax".
    """

    def __init__(self, target, query, label, link="softmax"):
        self.target, self.link = target, one_of("objective.link", link, ("softmax", "sigmoid"))
        self.index = None if label == "all" else resolve(target, query, "objective.label", label)
        if link == "softmax" and len(target.classes) == 1:
            raise ValueError(
                f"objective.link=softmax: {target.name} has one output, whose softmax is always 1; use"
                " objective.link=sigmoid"
            )
        which = f"all {len(target.classes)} classes" if label == "all" else target.classes[self.index]
        self.description = f"probability of {which}" + (" by sigmoid" if link == "sigmoid" else "")

    def __call__(self, x):
        outputs = self.target(x)
        values = probabilities(self.target, outputs) if self.link == "softmax" else outputs.sigmoid()
        return values if self.index is None else values[:, self.index, None]


class Margin:
    """The logit of one class minus that of another, K = 1; by default the query's first and second class."""

    def __init__(self, target, query, label, against):
        self.target, self.index = target, resolve(target, query, "objective.label", label)
        if against is None:
            with torch.no_grad():
                ranking = target(query)[0].argsort(descending=True).tolist()
            self.against = next((i for i in ranking if i != self.index), self.index)
        else:
            self.against = target.class_index("objective.against", against)
        if self.against == self.index:
            only = f"; {target.name} has no other" if len(target.classes) == 1 else ""
            raise ValueError(f"objective.against={against}: must be another class than objective.label{only}")
        self.description = f"margin of {target.classes[self.index]} over {target.classes[self.against]}"

    def __call__(self, x):
        logits = self.target(x)
        return (logits[:, self.index] - logits[:, self.against])[:, None]


class Neuron:
    """Channels of a named layer, K = how many: at a position, or reduced over all positions.

    What is not given of the last three is as in runs that were recorded before there was a choice.

    Args:
        layer: a name of `target.layers`.
        channel: index of the channel, or a list of such.
        position: None, or [row, column] of a map, [token] of a sequence, [from, to] of attention weights.
        reduce: "mean" or "max" over positions, where no position is given.
        channels, call: see `Reading`.
        prefix: how many tokens at the beginning of a sequence are no positions that are reduced over, or "auto".
    """

    def __init__(self, target, query, layer, channel, position, reduce, *, channels="auto", call=0, prefix=0):
        self.reading = reading = Reading(target, query, layer, channels, call)
        self.reduce = one_of("objective.reduce", reduce, ("mean", "max"))
        self.channel = which(channel, reading.channels)
        space, many = reading.space, isinstance(position, Sequence) and not isinstance(position, str)
        if position is not None and (not many or len(position) != len(space)):
            raise ValueError(f"objective.position={position}: must be {len(space)} numbers, {layer} is {space}")
        self.position = None if position is None else tuple(position)
        for place, size in zip(self.position or (), space, strict=False):
            number("objective.position", place, minimum=0, maximum=size - 1, whole=True)
        self.first, where = 0, "alone"
        if self.position:
            where = f"at {list(self.position)}"
        elif space:
            self.first, where = over(
                reading, "objective.reduce", reduce, "max, or objective.position=[from,to]", prefix
            )
        indices = ", ".join(map(str, self.channel))
        one = f"channel{'s' * (len(self.channel) > 1)} {indices} of {reading.name}"
        self.description = f"{one}, {where}{reading.note}"

    def __call__(self, x):
        values = self.reading(x)[..., self.channel]  # (N, ..., K)
        if self.position is not None:
            return values[(slice(None), *self.position)]
        values = values.flatten(1, -2)[:, self.first :] if values.ndim > 2 else values[:, None]
        return values.mean(1) if self.reduce == "mean" else values.amax(1)


class Features:
    """The activations of a named layer: pooled over positions (K = channels) or whole (K = everything).

    What is not given of the last three is as in runs that were recorded before there was a choice.

    Args:
        layer: a name of `target.layers`.
        pool: "mean" or "max" over positions, or "none".
        channels, call, prefix: as of `Neuron`; the whole layer has all its tokens.
    """

    def __init__(self, target, query, layer, pool, *, channels="auto", call=0, prefix=0):
        self.pool = one_of("objective.pool", pool, POOLS)
        self.reading, self.first = Reading(target, query, layer, channels, call), 0
        size, how = self.reading.channels, "alone"
        if self.reading.space and pool == "none":
            size, how = size * prod(self.reading.space), "whole"
        elif self.reading.space:
            self.first, how = over(self.reading, "objective.pool", pool, "max or none", prefix)
        self.description = f"{size} features of {self.reading.name}, {how}{self.reading.note}"

    def __call__(self, x):
        values = self.reading(x)  # (N, ..., C)
        if self.pool == "none" or values.ndim == 2:
            return values.flatten(1)
        return POOLS[self.pool](values.flatten(1, -2)[:, self.first :])


POOLS = {"mean": lambda x: x.mean(1), "max": lambda x: x.amax(1), "none": None}  # (N, positions, C) -> (N, C)


def which(channel, count):
    """The indices of channels, of which there are `count`, that an option names."""
    several = isinstance(channel, Sequence) and not isinstance(channel, str)
    indices = [
        number("objective.channel", one, minimum=0, maximum=count - 1, whole=True)
        for one in (channel if several else [channel])
    ]
    if not indices or len(set(indices)) < len(indices):
        raise ValueError(f"objective.channel={channel}: must be a number or a list of different ones, such as [1,2,7]")
    return indices


def over(reading, key, how, otherwise, prefix):
    """The first position that is reduced over, and how in words; `ValueError` where the mean says nothing."""
    if how == "mean" and reading.attention:
        raise ValueError(
            f"{key}=mean: {reading.layer} gives attention weights, whose mean is 1 / {reading.space[-1]} for every"
            f" picture; use {otherwise}"
        )
    first, said = reading.prefix(prefix)
    return first, f"{how} over space{said}"
