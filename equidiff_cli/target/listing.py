"""All layers of a network at once: their types, how often they are called, and what they give."""

from contextlib import ExitStack

import torch

from equidiff_cli.target import axes, layers


def listed(target, x):
    """(layer, type, calls, output, channels), words all, for every layer of a `Target` and a picture (1, 3, H, W).

    `channels` is "first" or "last" of what follows the samples, empty where there is no choice, "?" where it is not
    clear; `calls` is "?" of a scripted layer. Of outputs that differ between calls every one is listed.
    `ValueError` where no layers can be seen.
    """
    if not hasattr(target, "outputs"):
        raise ValueError(f"target={target.name}: is no equidiff Target, and only the layers of such are listed")
    names = layers.names(target.model)
    if not names:
        raise ValueError(f"target={target.name}: has no layers that can be named")
    modules = {name: layers.path(target.model, name)[-1] for name in names}
    seen = {name: module for name, module in modules.items() if not layers.scripted(module)}
    if not seen:
        raise ValueError(
            f"target={target.name}: is scripted (torch.jit), and the layers of scripted networks are not seen"
        )
    given = {name: [] for name in names}

    def keep(name, output):
        given[name].append((layers.described(output), _channels(modules[name], output)))

    with ExitStack() as stack:
        stack.enter_context(layers.watched(seen, keep))
        for module in modules.values():
            stack.enter_context(layers.weights_of_attention(module))
        try:
            with axes.noted():
                target(x.detach().clone().requires_grad_() + 0)
        except (RuntimeError, TypeError):  # a network that cannot be differentiated
            for calls in given.values():
                calls.clear()
            with torch.no_grad():
                target(x)
    return [_row(name, modules[name], given[name]) for name in names]


def _channels(module, output):
    if not isinstance(output, torch.Tensor) or output.ndim not in (3, 4):
        return ""
    axis = axes.by_type(module)
    axis = axes.by_operations(output) if axis is None else axis
    if axis is None:
        return "?"
    return "last" if axis % output.ndim == output.ndim - 1 else "first"


def _row(name, module, calls):
    outputs, channels = (list(dict.fromkeys(words)) for words in zip(*calls, strict=True)) if calls else ([], [])
    count = "?" if layers.scripted(module) else str(len(calls))
    return name, type(module).__name__, count, " | ".join(outputs), " | ".join(filter(None, channels))
