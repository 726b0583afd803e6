"""Tokens of a transformer that show no place of the picture: class and register tokens, at the beginning."""

from math import isqrt

NAMES = {  # of the parameters that they begin as, in timm, torchvision, transformers and CLIP
    "cls_token",
    "class_token",
    "class_embedding",
    "dist_token",
    "distillation_token",
    "reg_token",
    "register_tokens",
}


def number(way):
    """How many such tokens the transformer around a layer has, and how many patches, None where it does not say.

    Args:
        way: the modules from the network down to the layer; the nearest that has such tokens counts.
    """
    outwards = way[::-1]
    patches = (found for module in outwards if (found := _patches(module)) is not None)
    return next(filter(None, map(_count, outwards)), 0), next(patches, None)


def prefix(way, tokens):
    """How many of the `tokens` that a layer gives are of this kind; None if that is not clear."""
    count, patches = number(way)
    if not count or tokens == patches:
        return 0
    if patches is not None and tokens == patches + count:
        return count
    with_them, without = _square(tokens - count), _square(tokens)
    return None if with_them == without else count if with_them else 0


def _count(module):
    for part in module.modules():
        told = getattr(part, "num_prefix_tokens", None)
        if isinstance(told, int):
            return told
    named = [p for name, p in module.named_parameters() if name.rpartition(".")[2] in NAMES]
    return sum(p.numel() // p.shape[-1] for p in named)


def _patches(module):
    for part in module.modules():
        told = getattr(part, "num_patches", None)
        if isinstance(told, int):
            return told
        told = getattr(part, "seq_length", None)  # of torchvision, with the class token
        if isinstance(told, int) and hasattr(part, "class_token"):
            return told - 1
    return None


def _square(count):
    return count > 0 and isqrt(count) ** 2 == count
