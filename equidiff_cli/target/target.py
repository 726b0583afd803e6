"""The network under study: a frozen classifier, its own preprocessing as tensor operations, and its named layers."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from equidiff_cli.target import layers
from equidiff_cli.target.classes import class_names, index_of
from equidiff_cli.target.outputs import logits_of
from equidiff_cli.weights.hub import Source


@runtime_checkable
class TargetSource(Protocol):
    """What `_target_` of a shipped option of the group `target` makes: a light object, which reads nothing before
    `build`.

    It is called with the options of the configuration and checks them (`ValueError`, "target.key=value: what is
    accepted"); a frozen dataclass does. One's own `_target_` may be the same, or give the network itself, see
    `adopt.adopt`.
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
        classes: the name of each class, see `classes.class_names`; one class may have several names, separated by ", ".
            Without any, the network gives features, and only objectives on its layers make sense.
        name: what to call it in records.
        files: where its weights are, as far as they are files the user can see.
        channels: of what it takes: 3 of a picture, 2 of a point of the plane.
        uses: what was chosen or understood and is worth a word (its preprocessing, the origin of its names), for the
            record of a run.

    Network and transform are handed copies of pictures. `gives_probabilities` says whether the outputs are
    probabilities instead of logits, see `probabilities.py`.
    """

    gives_probabilities = False

    def __init__(self, model, transform, classes, name, files=(), channels=3, uses=None):
        self.model, self.transform, self._classes = freeze(model), transform, class_names("classes", classes)
        self.name, self.files, self.channels = name, [Path(file) for file in files], channels
        self.uses = dict(uses or {})

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
        """Logits (N, classes) of pictures (N, 3, H, W) in [0, 1]; without classes, what the model gives."""
        output = self.model(self.transform(x.clone()))  # they may normalise in place
        return logits_of(output, len(x)) if self._classes else output

    @property
    def layers(self):
        """The names that `activations` accepts."""
        return layers.names(self.model)

    def outputs(self, x, layer):
        """What the named layer gives each time that it is called for pictures (N, 3, H, W) in [0, 1], in order;
        `ValueError` if it is not called. Tensors are copies."""
        return layers.outputs(self.model, lambda: self(x), layer, self.name)

    def activations(self, x, layer):
        """Output of the named layer for pictures (N, 3, H, W) in [0, 1], the first of several."""
        return self.outputs(x, layer)[0]

    def class_index(self, key, label):
        """The index of a class given by index or by name, see `classes.index_of`."""
        return index_of(key, label, self.classes, self.name)


def freeze(model):
    """The module without gradients of its weights and in evaluation mode; also of TorchScript, which has no
    `requires_grad_`."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


@torch.no_grad()
def top_class(target, x):
    """The index of the largest logit for one picture (1, 3, H, W) in [0, 1]."""
    return target(x).argmax(1).item()
