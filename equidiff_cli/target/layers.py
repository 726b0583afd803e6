"""What the named layers of a network give in a forward pass, every call of them."""

import sys
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

WRAPPED = "_orig_mod"  # what torch.compile puts between a compiled module and the names inside


def names(model):
    """The names of all layers, as if nothing was compiled."""
    found = [_plain(name) for name, _ in model.named_modules()]
    return [name for name in dict.fromkeys(found) if name]


def scripted(module):
    """Whether it takes no hooks and calls none of the modules inside."""
    return isinstance(module, torch.jit.ScriptModule)


def path(model, layer):
    """The modules from the network itself down to the named layer."""
    way = [model]
    for name in layer.split("."):
        way.append(getattr(way[-1], name))
    return way


def outputs(model, run, layer, called):
    """What the named layer gives each time that it is called while `run()` computes the network, in order.

    Tensors are cloned, because an in-place operation after the layer may overwrite them. Raises `ValueError` if it is
    not called.

    Args:
        called: the network in a message.
    """
    kept, way = [], path(model, layer)
    if any(map(scripted, way)):
        raise ValueError(
            f"objective.layer={layer}: {called} is scripted (torch.jit), and what the layers of scripted networks give"
            " cannot be seen; give the network itself"
        )
    with watched({"": way[-1]}, lambda _, output: kept.append(_kept(output))), weights_of_attention(*way[-2:]):
        run()
    if not kept:
        raise ValueError(f"objective.layer={layer}: {_unused(way, called)}")
    return kept


@contextmanager
def watched(modules, keep):
    """While this lasts, `keep(name, output)` is called with every output of the modules, a dict by name.

    What computes past the modules is off so long: compiled code, and the fused forward of torch's transformer layers.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        for name, module in modules.items():
            hook = module.register_forward_hook(lambda _module, _input, output, name=name: keep(name, output))
            stack.callback(hook.remove)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fused)
        torch.backends.mha.set_fastpath_enabled(False)
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and importing it takes as long as torch
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextmanager
def weights_of_attention(around, module=None):
    """While this lasts, an attention of timm computes its weights if `module` is where they pass (None: anyway).

    Fused attention never has them. Only the last digits of its results may be others so.
    """
    passes = module is None or module is getattr(around, "attn_drop", None) or isinstance(module, nn.Softmax)
    off = passes and getattr(around, "fused_attn", False) is True
    if off:
        around.fused_attn = False
    try:
        yield
    finally:
        if off:
            around.fused_attn = True


def described(output):
    """What a layer gives, in words: shapes of tensors of floats, types of other things."""
    if isinstance(output, torch.Tensor):
        kind = "" if output.is_floating_point() else str(output.dtype).removeprefix("torch.") + " "
        return f"{kind}{tuple(output.shape)}"
    kind = type(output).__name__
    if isinstance(output, (tuple, list)):
        return f"a {kind} of {', '.join(map(described, output)) or 'nothing'}"
    return f"a {kind} with {', '.join(map(str, output))}" if isinstance(output, dict) else f"a {kind}"


def _plain(name):
    return ".".join(part for part in name.split(".") if part != WRAPPED)


def _kept(output):
    if type(output) is tuple:
        return tuple(map(_kept, output))
    return output.clone() if isinstance(output, torch.Tensor) else output


def _unused(way, called):
    """Why the last module on the way from the network to a layer may not have been called."""
    if isinstance(way[-2], nn.MultiheadAttention):
        return f"{called} computes with the weights of this layer without calling it; use the attention around it"
    return f"{called} does not use this layer in its forward pass"
