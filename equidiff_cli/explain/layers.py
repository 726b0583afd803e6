"""Which layers of a network give maps, and which of them an explained value depends on."""

import torch

from equidiff_cli.checks import choices
from equidiff_cli.target.layers import watched


def mapping(forward, x):
    """The names of the layers that give one map (1, C, h, w) of more than one position and that the value depends on,
    in the order of the forward pass; seen with one input (1, C, h, w)."""
    made = {}

    def keep(name, output):
        made.setdefault(name, []).append(output)

    modules = {name: module for name, module in forward.model.named_modules() if name}
    with torch.enable_grad(), watched(modules, keep):
        value = forward(x.detach().clone().requires_grad_() + 0)
    maps = {
        name: calls[0]
        for name, calls in made.items()
        if len(calls) == 1 and isinstance(calls[0], torch.Tensor) and calls[0].ndim == 4 and calls[0].requires_grad
    }
    maps = {name: one for name, one in maps.items() if one.shape[0] == 1 and one.shape[2] * one.shape[3] > 1}
    if not maps:
        return []
    gradients = torch.autograd.grad(value.sum(), list(maps.values()), allow_unused=True)
    return [name for name, gradient in zip(maps, gradients, strict=True) if gradient is not None]


def chosen(forward, x, asked):
    """The names of the layers to look at: those `asked` for, the last one that `mapping` gives for "auto"; [] where the
    network shows none. `ValueError` for a name that is no layer, or one that gives no map."""
    names = [asked] if isinstance(asked, str) and asked != "auto" else asked
    if forward.model is None:
        if names == "auto":
            return []
        raise ValueError(f"layers={names[0]}: the target is no torch module whose layers can be seen; leave it out")
    found = mapping(forward, x)
    if names == "auto":
        return found[-1:]
    known = [name for name, _ in forward.model.named_modules() if name]
    for name in names:
        if name not in known:
            raise ValueError(f"layers={name}: no such layer; {choices(name, known)}")
        if name not in found:
            raise ValueError(
                f"layers={name}: gives no map (N, C, h, w) that the objective depends on; {choices(name, found)}"
            )
    return list(names)
