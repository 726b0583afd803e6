"""One run made ready to be explained: members, query, unguided samples of the query's class, and what is explained."""

import weakref
from dataclasses import dataclass, field

import torch

from equidiff_cli.explain.forward import Forward, direction_of
from equidiff_cli.explain.layers import chosen
from equidiff_cli.explain.methods import METHODS, RANDOM, Settings, unable
from equidiff_cli.metrics.diversity import pairs, rms_distances
from equidiff_cli.request.explanation import several
from equidiff_cli.study.sets import Set


@dataclass(eq=False)
class Explained:
    """A run whose members are explained. Its sets:

    - `samples`: the members, at most `options.most` of them; samples that are none are left out.
    - `near`: those of them that have the query's layout.
    - `query`.
    - `unguided`: as many unguided samples as there are members, called by the target what it calls the query.
    - `everyone`: all unguided samples.

    Args:
        case: the `Case`.
        options: of the request.
        forward: what is explained; `unit` is in words what its numbers are in.
        baseline: what absence is, (1, C, h, w).
        layers: the names of the layers to look at; the last one is that of Grad-CAM.
        methods: the names of the methods that make sense here; `refused` says of the others why they do not.
        members: records of the samples.
        left_out: how many samples are no members.
        notes: what a person should know of the comparison.
        found: the `Clusters` of segments of members, once they are looked for.
    """

    case: object
    options: object
    forward: Forward
    baseline: torch.Tensor
    layers: list
    methods: list
    refused: dict
    members: list
    left_out: int
    notes: list = field(default_factory=list)
    found: object = None

    def __post_init__(self):
        case, own, options = self.case, weakref.proxy(self), self.options
        rows = [case.run.records.index(record) for record in self.members]
        alike = same_class(case)[: len(rows)]
        everyone = case.unguided.pictures
        distances = rms_distances(case.samples.pictures[rows].cpu(), case.query.pictures.cpu())[:, 0]
        self.distances = distances / pairs(rms_distances(everyone.cpu(), everyone.cpu())).mean()
        self.query, self.samples = Set(own, case.query.pictures), Set(own, case.samples.pictures[rows])
        self.everyone, self.unguided = Set(own, everyone), Set(own, everyone[alike])
        close = (self.distances <= options.near).nonzero().flatten()
        self.near = Set(own, self.samples.pictures[close], whole=self.samples, rows=close)
        if len(alike) < len(rows):
            self.notes.append(
                f"the target calls {len(alike)} of {len(everyone)} unguided samples what it calls the query;"
                " a larger null_samples finds more to compare with"
            )

    @property
    def every(self):
        """All methods, and random maps beside them."""
        return [*self.methods, RANDOM]

    @property
    def settings(self):
        layer = dict(self.forward.model.named_modules())[self.layers[-1]] if self.layers else None
        asked = {key: self.options[key] for key in ("steps", "draws", "cells", "batch", "seed")}
        return Settings(layer=layer, **asked)

    @property
    def no_query(self):
        """As of `Case`."""
        return self.case.no_query

    def measure(self, pictures):
        """The explained number (N, 1), for `Set.values`."""
        return self.forward.measure(self.forward.enter(pictures), self.options.batch)[:, None]


def explained(case):
    """A `Case` ready to be explained; `ValueError` for a run without members, and for what its network does not
    allow."""
    run, options = case.run, case.options
    members = [record for record in run.records if record.get("on_file", record["status"] == "converged")]
    if not members:
        raise ValueError(
            f"{run.path}: none of its {len(run.records)} samples is a member on file, so there is nothing to explain;"
            " a run with more budget.steps, or a higher budget.threshold, has some"
        )
    direction = direction_of(case.unguided.values, case.target_values)
    forward = Forward(case.objective, case.target, direction, case.columns)
    inputs = forward.enter(case.query.pictures)
    layers = chosen(forward, inputs, options.layers)
    asked = list(METHODS) if options.methods == "all" else several("methods", options.methods, "", "all")
    last = layers[-1] if layers else None
    refused = {name: why for name in asked if (why := unable(name, forward, last))}
    methods = [name for name in METHODS if name in asked and name not in refused]
    if refused and (options.methods != "all" or not methods):
        name, why = next(iter(refused.items()))
        raise ValueError(f"methods={name}: not for {case.target.name}: {why}")
    return Explained(
        case=case,
        options=options,
        forward=forward,
        baseline=baseline(forward, case, options.baseline),
        layers=layers,
        methods=methods,
        refused=refused,
        members=members[: options.most],
        left_out=len(run.records) - len(members),
    )


def baseline(forward, case, kind):
    """What stands for absence at the network's input, (1, C, h, w): zeros, which most networks are normalised to have
    as their mean colour; black; or the mean of unguided samples. Of a picture, mean grey is the mean."""
    pictures = case.query.pictures
    if kind == "black":
        return forward.enter(torch.zeros_like(pictures))
    if kind == "unguided":
        return forward.enter(case.unguided.pictures.mean(0, keepdim=True))
    return torch.zeros_like(forward.enter(pictures)) if forward.bare else torch.full_like(pictures, 0.5)


def same_class(case):
    """The indices of the unguided samples that the target calls what it calls the query; all where it has no
    classes, or there is no query."""
    target = case.networks[0]
    if not target.classes or case.no_query:
        return list(range(len(case.unguided)))
    called = case.query.logits(target)[0].argmax()
    return (case.unguided.logits(target).argmax(1) == called).nonzero().flatten().tolist()
