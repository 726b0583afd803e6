"""Sets of pictures, and what is computed of each of them once: what metrics are functions of."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from equidiff_cli.engine.device import exact
from equidiff_cli.study.features import look

if TYPE_CHECKING:
    from equidiff_cli.target.target import Target


def once(function):
    """Keep with a set what a function of it and of further (hashable) arguments gives."""

    @functools.wraps(function)
    def of(set, *arguments):
        key = function, arguments
        if key not in set.kept:
            set.kept[key] = function(set, *arguments)
        return set.kept[key]

    return of


def each(function):
    """Compute a function that gives one row a picture once for a whole set; a part of the set takes its rows."""
    whole = once(function)

    @functools.wraps(function)
    def of(set, *arguments):
        return whole(set, *arguments) if set.whole is None else of(set.whole, *arguments)[set.rows]

    return of


@dataclass(frozen=True, eq=False)
class Network:
    """A network that is asked about pictures: the target, or one that took no part in the run.

    Args:
        key: "target", or the name of another network: a part of the names of its numbers.
        which: what to call it in a sentence.
        classes: the names of its classes, None for a network that gives features.
    """

    key: str
    name: str
    which: str
    classes: tuple | None
    target: Target


@dataclass(eq=False)
class Set:
    """Pictures with all that is known of them. A slice `set[:8]` is a set, too, the same object every time.

    Args:
        case: the `Case`, where a metric finds the query, the networks and the options; it has to live as long as its
            sets are used.
        pictures: (N, 3, H, W) in [0, 1].
        latents: `z_start` and `z`, (N, C, H, W) each; None where there are none.
        recorded: values (N, K) of the objective before the pictures were rounded to 8 bits, where they are known.
        failures: how many samples were drawn besides that were not finite, and so are no pictures.
        evaluations: of the velocity network, for all that was drawn.
        seeds: by which each was drawn, a list; None where it was not.
        whole, rows: the set that this one is a part of, and which part.
    """

    case: Any
    pictures: torch.Tensor
    latents: dict | None = None
    recorded: torch.Tensor | None = None
    failures: int = 0
    evaluations: int = 0
    seeds: list | None = None
    whole: Set | None = None
    rows: slice | None = None
    kept: dict = field(default_factory=dict, repr=False)

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, rows):
        start, stop, _ = rows.indices(len(self))
        return self if (start, stop) == (0, len(self)) else self._part(start, stop)

    @once
    def _part(self, start, stop):
        rows = slice(start, stop)
        latents = self.latents and {name: tensor[rows] for name, tensor in self.latents.items()}
        recorded = None if self.recorded is None else self.recorded[rows]
        seeds = self.seeds and self.seeds[rows]
        return Set(self.case, self.pictures[rows], latents, recorded, seeds=seeds, whole=self, rows=rows)

    @property
    @each
    def values(self):
        """L(x) (N, K), float32 on the CPU."""
        return self.case.measure(self.pictures)

    @property
    def errors(self):
        """|L(x) - L*| (N,) in null spreads, see `Case.off`."""
        return self.case.off(self.values)

    @each
    def logits(self, network):
        """Logits (N, classes) by a `Network`, float32 on the CPU."""
        return self._look(network)[0]

    @each
    def features(self, network):
        """Features (N, D) by a `Network`, float32 on the CPU: what its classifier sees."""
        return self._look(network)[1]

    @once
    def _look(self, network):
        with exact():
            return look(network.target, self.pictures, self.case.options.batch)
