"""Which axis of a layer's output holds its channels: by the layer's type, else by the operations that made the output.

The operations are those that autograd has noted. Going back from the output through what only moves axes or keeps them,
the nearest operation whose channels have a certain place, such as a convolution or a product with weights, tells.
"""

import re
from contextlib import contextmanager
from math import prod

import torch
from torch import nn
from torch.nn.modules import batchnorm, conv, pooling

FIRST = (
    conv._ConvNd,
    batchnorm._NormBase,  # of instances, too
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.Upsample,
    *(pooling.__dict__[name] for name in pooling.__all__),
)
LAST = (
    nn.Linear,
    nn.Bilinear,
    nn.Embedding,
    nn.MultiheadAttention,
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)
NORMS = (nn.LayerNorm, nn.RMSNorm)
FIRST_AFTER = re.compile(r"Conv(?!ert)|BatchNorm|GroupNorm|Pool|Upsample|PixelShuffle|PixelUnshuffle|GridSampler")
PRODUCT = re.compile(r"(Add)?mmBackward|LinearBackward", re.IGNORECASE)
NORM = re.compile(r"(Layer|Rms)_?Norm", re.IGNORECASE)
VIEW = re.compile(r"View|Reshape|Squeeze|Flatten", re.IGNORECASE)
MADE = re.compile(r"Conv(?!ert)|Norm", re.IGNORECASE)
OPAQUE = re.compile(r"mmBackward|bmm|Dot|Attention|AsStrided", re.IGNORECASE)  # they make new channels
FARTHEST = 64  # operations that are looked at before the search is given up


def by_type(module):
    """1 or -1 for a layer of torch whose type tells it, if its forward pass is torch's own; else None."""
    definer = next(kind for kind in type(module).__mro__ if "forward" in vars(kind))
    if not definer.__module__.startswith("torch.nn."):
        return None
    if isinstance(module, FIRST):
        return 1
    one = isinstance(module, NORMS) and len(module.normalized_shape) == 1
    return -1 if one or isinstance(module, LAST) else None


@contextmanager
def noted():
    """While this lasts, autograd notes which operations are done, but keeps none of their tensors."""
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(lambda _: None, lambda kept: kept):
        yield


def by_operations(output):
    """The axis, at least 0, of a tensor that was computed while `noted`; None where its operations do not tell."""
    for level in _back(output, lambda node: _certain(node) is None):
        found = {axes[place] for node, axes in level if (place := _certain(node)) is not None} - {None}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def nearest(output, made):
    """What `made`, a dict by the nodes of operations, holds for the one nearest behind a tensor (N, channels), with
    nothing in between that makes other channels; None if there is none.
    """
    for level in _back(output, lambda node: MADE.search(node.name()) is None):
        for node, axes in level:
            if node in made and output.ndim - 1 in axes:
                return made[node]
    return None


def _back(output, goes_on):
    """The operations behind a tensor, level by level, as lists of (node, axes): which axis of `output` each axis of the
    operation's result has become, or None. What is behind a node is only looked at if it `goes_on`."""
    level, seen = [(output.grad_fn, tuple(range(output.ndim)))], set()
    while level and len(seen) < FARTHEST:
        level = [(node, axes) for node, axes in level if node is not None and not (node in seen or seen.add(node))]
        yield level
        level = [step for node, axes in level if goes_on(node) for step in _before(node, axes)]


def _shape(node, index=0):
    known = getattr(node, "_input_metadata", ())
    return tuple(known[index].shape) if index < len(known) else None


def _certain(node):
    """The axis of what an operation gives on which its channels certainly are, or None."""
    name, shape = node.name(), _shape(node)
    if shape is None or len(shape) < 2:
        return None
    last = len(shape) - 1
    if FIRST_AFTER.search(name):
        return 1
    if PRODUCT.fullmatch(name.rstrip("0123456789")):  # of inputs (..., D) and frozen weights
        *_, inputs, weights = [None, None, *(parent for parent, _ in node.next_functions)]
        return last if "Linear" in name or (inputs is not None and weights is None) else None
    if NORM.search(name):
        return last if len(getattr(node, "_saved_normalized_shape", (1,))) == 1 else None
    if name.startswith("Softmax") and len(shape) == 4 and shape[2] == shape[3]:
        return 1 if _axis(node._saved_dim, 4) == last else None  # the heads of attention weights (N, heads, L, L)
    return None


def _before(node, axes):
    """What an operation was given, as (node, axes): for each axis there the axis of the output, or None."""
    name = node.name()
    if isinstance(node, torch.autograd.function.BackwardCFunction) or OPAQUE.search(name):
        return []
    shape, found = _shape(node), []
    for parent, index in node.next_functions:
        before = parent and _shape(parent, index)
        if before and (moved := _moved(node, name, shape, before, axes)) is not None:
            found.append((parent, moved))
    return found


def _moved(node, name, shape, before, axes):
    """`axes` of an operation's result of this shape as axes of its input with shape `before`; None if they are lost."""
    if name.startswith("Permute"):
        places = [_axis(dim, len(shape)) for dim in node._saved_dims]
        return tuple(axes[places.index(axis)] for axis in range(len(places)))
    if name.startswith(("Transpose", "TBackward")):
        dims = (0, 1) if name[1] == "B" else (node._saved_dim0, node._saved_dim1)
        (a, b), moved = (_axis(dim, len(shape)) for dim in dims), list(axes)
        moved[a], moved[b] = axes[b], axes[a]
        return tuple(moved)
    if len(before) == len(shape) and VIEW.search(name) is None:  # axes stay, sizes may change
        wider = [b == 1 and s > 1 for b, s in zip(before, shape, strict=True)]
        return tuple(None if more else axis for axis, more in zip(axes, wider, strict=True))
    if VIEW.search(name):
        starts = {(prod(shape[:i]), size): axes[i] for i, size in enumerate(shape) if size > 1}
        return tuple(starts.get((prod(before[:i]), size)) for i, size in enumerate(before))
    dims = getattr(node, "_saved_dim", None)
    if len(before) > len(shape) and dims is not None:  # a reduction, or one of many
        dims, moved = dims if isinstance(dims, tuple) else (dims,), list(axes)
        for dim in sorted(_axis(dim, len(before)) for dim in dims):
            moved.insert(dim, None)
        return tuple(moved) if len(moved) == len(before) else None
    return None


def _axis(dim, count):
    """An axis counted from 0; autograd gives those counted from the end as unsigned numbers."""
    return (dim - 2**64 if dim >= 2**63 else dim) % count
