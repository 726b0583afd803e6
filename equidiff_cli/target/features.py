"""What the classifier of a network sees: the input of the layer that makes its logits."""

import torch
from torch import nn

from equidiff_cli.target import axes
from equidiff_cli.target.layers import watched

HEADS = (nn.Linear, nn.Conv1d, nn.Conv2d)


class Features:
    """Pictures (N, 3, H, W) in [0, 1] -> features (N, D), float32, differentiable.

    Args:
        network: a `Target`; one without a classifier has its output as features.
        x: one picture (1, 3, H, W), by which the classifier is seen.
    """

    def __init__(self, network, x):
        self.network, self.layer = network, classifier(network, x)

    def __call__(self, x):
        seen = []
        hook = self.layer and self.layer.register_forward_pre_hook(
            lambda module, inputs: seen.append(flat(module, inputs[0]))
        )
        try:
            output = self.network(x)
        finally:
            if hook:
                hook.remove()
        return seen[0] if seen else output.float().flatten(1)


def classifier(network, x):
    """The layer of a network that makes its logits, seen with one picture (1, 3, H, W); None if there is none.

    It is what timm calls so. In others it is the linear layer or convolution that is nearest to the logits, with
    nothing in between that would make new channels of its output.
    """
    model = getattr(network, "model", None)
    if not isinstance(model, nn.Module) or not _has_classes(network):
        return None
    candidates = {name: module for name, module in model.named_modules() if isinstance(module, HEADS)}
    made = {}  # by the operation behind an output: the layer

    def keep(name, output):
        if isinstance(output, torch.Tensor) and output.grad_fn is not None:
            made[output.grad_fn] = candidates[name]

    try:
        with watched(candidates, keep), axes.noted():
            logits = network(x.detach().clone().requires_grad_() + 0)
    except (RuntimeError, TypeError):  # a network that cannot be differentiated
        return None
    told = model.get_classifier() if hasattr(model, "get_classifier") else None
    if told in made.values():
        return told
    return axes.nearest(logits, made)


def _has_classes(network):
    try:
        return bool(network.classes)
    except ValueError:
        return False


def flat(module, values):
    """(N, D) of the input of a classifier, as float32: channels are first in a convolution, else last."""
    if values.ndim > 2:
        values = values.flatten(1, -2).mean(1) if isinstance(module, nn.Linear) else values.flatten(2).mean(2)
    return values.float()
