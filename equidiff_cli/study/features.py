"""The features of a network: what its classifier sees, or its output where it has none."""

import torch
from torch import nn

from equidiff_cli.target import axes
from equidiff_cli.target.layers import watched

MOST = 2**17  # numbers a picture: 256 pictures of so many need 128 MiB
HEADS = (nn.Linear, nn.Conv1d, nn.Conv2d)


@torch.no_grad()
def look(network, x, batch):
    """Logits (N, classes) and features (N, D), both float32 on the CPU, of pictures (N, 3, H, W) in [0, 1].

    Features are the input of the layer that makes the logits, its mean over positions if there are any. A network
    without such a layer has only its output, which is then both. `ValueError` if that has too many numbers to compare.
    """
    layer, logits, features = classifier(network, x[:1]), [], []
    hook = layer and layer.register_forward_pre_hook(lambda module, inputs: features.append(_flat(module, inputs[0])))
    try:
        for part in x.split(batch):
            logits.append(network(part).float().flatten(1).cpu())
            if logits[-1].shape[1] > MOST:
                raise ValueError(
                    f"{network.name} has no classifier and gives {logits[-1].shape[1]} numbers a picture, too many to"
                    f" compare pictures by; at most {MOST}"
                )
    finally:
        if hook:
            hook.remove()
    logits = torch.cat(logits)
    return logits, torch.cat(features) if features and sum(map(len, features)) == len(x) else logits


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


def seen(network, x):
    """What the features of a network are, in words, seen with one picture (1, 3, H, W)."""
    layer = classifier(network, x)
    if layer is None:
        return "output of the network, which has no classifier that can be seen"
    (name,) = (name for name, module in network.model.named_modules() if module is layer)
    return f"input of the classifier ({name})" if name else "input of the classifier"


def _has_classes(network):
    try:
        return bool(network.classes)
    except ValueError:
        return False


def _flat(module, values):
    """(N, D) of the input of a classifier, as float32 on the CPU: channels are first in a convolution, else last."""
    if values.ndim > 2:
        values = values.flatten(1, -2).mean(1) if isinstance(module, nn.Linear) else values.flatten(2).mean(2)
    return values.float().cpu()
