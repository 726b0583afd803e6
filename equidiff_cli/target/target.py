"""The network under study: a frozen classifier, its own preprocessing as tensor operations, and its named layers."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from timm.layers import LayerNorm

from equidiff_cli.checks import choices, number
from equidiff_cli.target.copies import copied
from equidiff_cli.weights.hub import Source


@runtime_checkable
class TargetSource(Protocol):
    """What `_target_` of a shipped option of the group `target` makes: a light object, which reads nothing before
    `build`.

    It is called with the options of the configuration and checks them (`ValueError`, "target.key=value: what is
    accepted"); a frozen dataclass does. One's own `_target_` may be the same, or give the network itself, see `adopt`.
    """

    def sources(self) -> list[Source]:
        """The files of its weights, which are brought into the cache before `build`; none for what is at hand."""

    def build(self) -> "Target":
        """Read the weights and put the parts together, on the CPU; `ValueError` for files that do not fit."""


class Target:
    """A classifier as a differentiable function of pictures (N, 3, H, W) in [0, 1].

    Args:
        model: network from normalised pictures to logits (N, classes).
        transform: the network's own preprocessing (resize, crop, normalise), on float tensors.
        classes: the name of each class; one class may have several names, separated by ", ". Without any, the network
            gives features, and only objectives on its layers make sense.
        name: what to call it in records.
        files: where its weights are, as far as they are files the user can see.
        channels: of what it takes: 3 of a picture, 2 of a point of the plane.

    Network and transform are handed copies of pictures. `gives_probabilities` says whether the outputs are
    probabilities instead of logits, see `probabilities.py`.
    """

    gives_probabilities = False

    def __init__(self, model, transform, classes, name, files=(), channels=3):
        self.model, self.transform, self._classes = model.requires_grad_(False).eval(), transform, tuple(classes)
        self.name, self.files, self.channels = name, [Path(file) for file in files], channels

    @property
    def classes(self):
        """The name of each class; `ValueError` for a network without a classifier."""
        if not self._classes:
            raise ValueError(
                f"target.name={self.name}: gives features and has no classes; use objective=features or"
                " objective=neuron, or another target"
            )
        return self._classes

    def __call__(self, x):
        """Logits (N, classes) of pictures (N, 3, H, W) in [0, 1]."""
        return self.model(self.transform(x.clone()))  # they may normalise in place

    @property
    def layers(self):
        """The names that `activations` accepts."""
        return [name for name, _ in self.model.named_modules() if name]

    def activations(self, x, layer):
        """Output of the named layer for pictures (N, 3, H, W) in [0, 1].

        The output is cloned, because an in-place operation after the layer may overwrite it. Of a layer that is used
        several times, the first output is taken.
        """
        kept = []

        def keep(_module, _input, output):
            kept.append(output.clone() if isinstance(output, torch.Tensor) else output)

        hook = self.model.get_submodule(layer).register_forward_hook(keep)
        try:
            self(x)
        finally:
            hook.remove()
        if not kept:
            raise ValueError(f"objective.layer={layer}: {self.name} does not use this layer in its forward pass")
        return kept[0]

    def channel_axis(self, layer, shape):
        """The axis of the channels in a map of this `shape` that the named layer gives: 1, or -1 for (N, H, W, C).

        Pictures are square, so maps are, and two equal sides show it. Where all three or none are equal: a linear
        layer, a plain layer norm and all in a perceptron of linear layers work on the last axis, and of other layers
        timm says it in `output_fmt`.
        """
        if (shape[1] == shape[2]) != (shape[2] == shape[3]):
            return -1 if shape[1] == shape[2] else 1
        module, around = map(self.model.get_submodule, (layer, layer.rpartition(".")[0]))
        perceptron = (getattr(one, "fc2", None) for one in (module, around))  # as timm calls its last layer
        linear = any(isinstance(one, torch.nn.Linear) for one in (module, *perceptron))
        if linear or type(module) in (torch.nn.LayerNorm, LayerNorm):
            return -1
        nhwc = getattr(self.model, "output_fmt", "NCHW") == "NHWC" and not isinstance(module, torch.nn.Conv2d)
        return -1 if nhwc else 1

    def class_index(self, key, label):
        """The index of a class given by index or by name (case and underscores do not matter).

        Raises `ValueError` naming `key` and the nearest names if there is no such class, or more than one.
        """
        if (isinstance(label, int) and not isinstance(label, bool)) or str(label).isdecimal():
            return number(key, int(label), minimum=0, maximum=len(self.classes) - 1, whole=True)
        wanted = _plain(label)
        found = [i for i, names in enumerate(self.classes) if wanted in map(_plain, names.split(", "))]
        if len(found) == 1:
            return found[0]
        if found:
            which = "; ".join(f"{i} ({self.classes[i]})" for i in found)
            raise ValueError(f"{key}={label}: the name is ambiguous, use the index of one of {which}")
        names = [name for group in self.classes for name in group.split(", ")]
        near = [name for name in names if wanted in _plain(name)][:6]
        raise ValueError(f"{key}={label}: {self.name} has no such class; {choices(label, near or names)}")


def _plain(name):
    return str(name).lower().replace("_", " ").replace("-", " ").strip()


def built(made):
    """What a light object builds, and everything else as it is: a network can be called, a light object cannot."""
    return made.build() if hasattr(made, "build") and not callable(made) else made


def adopt(made, query):
    """What a user's `target._target_` returned, or what that built, as a `Target`: one already, what has the same
    attributes, or a module.

    A module maps pictures (N, 3, H, W) in [0, 1] to logits (N, classes), its preprocessing included; its attribute
    `classes`, if it has one, names them.

    Args:
        query: the query (1, 3, H, W), to see how many classes there are.
    """
    if isinstance(made, Target) and made.channels != query.shape[1]:
        raise ValueError(
            f"target={made.name}: takes {made.channels} channels, but the prior makes {query.shape[1]} (pictures"
            " have 3, points of the plane 2); prior=circles and target=circles go together"
        )
    name = type(made).__name__
    if not isinstance(made, torch.nn.Module):
        if callable(made) and all(hasattr(made, needed) for needed in ("model", "name", "files")):
            return made if isinstance(made, Target) else copied(made)
        raise ValueError(
            f"target._target_: returned a {name}; must return a torch.nn.Module or an equidiff Target, or what can be"
            " called like one and has model, name and files"
        )
    made = made.requires_grad_(False).eval().to(query.device)
    with torch.no_grad():
        logits = made(query.clone())
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != 1:
        raise ValueError(f"target._target_: {name} must map pictures (N, 3, H, W) in [0, 1] to logits (N, classes)")
    classes = getattr(made, "classes", None) or [str(i) for i in range(logits.shape[1])]
    if len(classes) != logits.shape[1]:
        raise ValueError(f"target._target_: {name} names {len(classes)} classes but gives {logits.shape[1]} logits")
    return Target(made, torch.nn.Identity(), classes, name, channels=query.shape[1])


@torch.no_grad()
def top_class(target, x):
    """The index of the largest logit for one picture (1, 3, H, W) in [0, 1]."""
    return target(x).argmax(1).item()
