"""What of the target is held: each objective maps pictures (N, 3, H, W) in [0, 1] to values (N, K).

Every class takes the target and the query (1, 3, H, W) first, then the options of its configuration group, checks
them, and describes itself in `description`. Anything with this signature can be named as `objective._target_`:
a class, or a function that returns a function of pictures.
"""

from collections.abc import Sequence

import torch

from equidiff_cli.checks import number, one_of
from equidiff_cli.target.probabilities import given, probabilities
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
        elif isinstance(labels, (str, int)) or not labels:
            raise ValueError(f"objective.labels={labels}: must be all or a list of classes, such as [cat,dog]")
        else:
            self.index = [target.class_index("objective.labels", label) for label in labels]
        which = "all classes" if labels == "all" else ", ".join(target.classes[i] for i in self.index)
        self.description = f"{'probabilities' if given(target) else 'logits'} of {which}"

    def __call__(self, x):
        return self.target(x)[:, self.index]


class Probability:
    """Probabilities, by softmax from logits: of one class (K = 1) or of all ("all", for `distance=kl`)."""

    def __init__(self, target, query, label):
        self.target = target
        self.index = None if label == "all" else resolve(target, query, "objective.label", label)
        which = f"all {len(target.classes)} classes" if label == "all" else target.classes[self.index]
        self.description = f"probability of {which}"

    def __call__(self, x):
        values = probabilities(self.target, self.target(x))
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
    """One channel of a named layer, K = 1: at a position, or reduced over all positions.

    Args:
        layer: a name of `target.layers`.
        channel: index of the channel; the last dimension of token sequences (N, T, D), of maps that of
            `Target.channel_axis`.
        position: None, or [row, column] of a map, or [token] of a sequence.
        reduce: "mean" or "max" over positions, where no position is given.
    """

    def __init__(self, target, query, layer, channel, position, reduce):
        self.target, self.channel = target, channel
        layer = self.layer = one_of("objective.layer", layer, target.layers)
        self.reduce = one_of("objective.reduce", reduce, ("mean", "max"))
        with torch.no_grad():
            *space, channels = channels_last(target, query, layer).shape[1:]
        number("objective.channel", channel, minimum=0, maximum=channels - 1, whole=True)
        if position is not None and (not isinstance(position, Sequence) or len(position) != len(space)):
            raise ValueError(f"objective.position={position}: must be {len(space)} numbers, {layer} is {tuple(space)}")
        self.position = None if position is None else tuple(position)
        for place, size in zip(self.position or (), space, strict=False):
            number("objective.position", place, minimum=0, maximum=size - 1, whole=True)
        where = f"at {list(self.position)}" if self.position else f"{reduce} over space" if space else "alone"
        self.description = f"channel {channel} of {layer}, {where}"

    def __call__(self, x):
        values = channels_last(self.target, x, self.layer)[..., self.channel]
        if self.position is not None:
            return values[(slice(None), *self.position)][:, None]
        values = values.flatten(1) if values.ndim > 1 else values[:, None]
        return (values.mean(1) if self.reduce == "mean" else values.amax(1))[:, None]


class Features:
    """The activations of a named layer: pooled over positions (K = channels) or whole (K = everything)."""

    def __init__(self, target, query, layer, pool):
        self.target = target
        self.layer, self.pool = one_of("objective.layer", layer, target.layers), one_of("objective.pool", pool, POOLS)
        with torch.no_grad():
            size = self(query).shape[1]
            vector = channels_last(target, query, layer).ndim == 2
        how = "alone" if vector else "whole" if pool == "none" else f"{pool} over space"
        self.description = f"{size} features of {layer}, {how}"

    def __call__(self, x):
        values = channels_last(self.target, x, self.layer)  # (N, ..., C)
        if self.pool == "none" or values.ndim == 2:
            return values.flatten(1)
        return POOLS[self.pool](values.flatten(1, -2))


POOLS = {"mean": lambda x: x.mean(1), "max": lambda x: x.amax(1), "none": None}  # (N, positions, C) -> (N, C)


def channels_last(target, x, layer):
    """Activations: maps as (N, H, W, C), sequences (N, T, C) and vectors (N, C) as they are."""
    values = target.activations(x, layer)
    if not isinstance(values, torch.Tensor) or values.ndim not in (2, 3, 4) or len(values) != len(x):
        raise ValueError(f"objective.layer={layer}: its output is not a map, a sequence or a vector of numbers")
    axis = getattr(target, "channel_axis", lambda layer, shape: 1)  # a user's own target may go without
    return values if values.ndim < 4 or axis(layer, values.shape) == -1 else values.movedim(1, -1)
