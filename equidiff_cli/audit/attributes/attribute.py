"""An attribute: a number a picture, with words for both of its ends."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from equidiff_cli.study.sets import each


@dataclass(frozen=True)
class Attribute:
    """One number a picture.

    Args:
        name: in files, unique in an audit.
        title: in sentences.
        low, high: what pictures with small and with large numbers are called.
        values: a `Set` -> (N,), float64 on the CPU.
        source: the formula.
        split: where it divides pictures into two groups; None: at the median of unguided samples.
    """

    name: str
    title: str
    low: str
    high: str
    values: Callable
    source: str
    split: float | None = None


def pictured(name, title, low, high, function, source):
    """An `Attribute` by a function of pictures (N, 3, H, W) in [0, 1] -> (N,)."""

    @each
    def values(set):
        batch = set.case.options.batch
        return torch.cat([function(part.double()).double().cpu() for part in set.pictures.split(batch)])

    return Attribute(name, title, low, high, values, source)


def grey(x):
    """Brightness (N, H, W) of pictures (N, 3, H, W), Rec. 601."""
    return torch.einsum("nchw,c->nhw", x, x.new_tensor((0.299, 0.587, 0.114)))
