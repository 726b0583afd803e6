"""What is audited: the members of one run beside unguided samples, with the attributes of both."""

import functools
from dataclasses import dataclass

import torch

from equidiff_cli.audit.attributes.attribute import Attribute
from equidiff_cli.runs.reader import noiseless
from equidiff_cli.study.case import Case
from equidiff_cli.study.law import like_the_query
from equidiff_cli.study.sets import Set

FEWEST = 8  # members


@dataclass
class Subject:
    """The members of a run, and what they are held against.

    Args:
        members: the `Set` of the samples that converged.
        files: of the members, relative to the run directory.
        attributes: all of them; those that do not vary are in no table.
    """

    case: Case
    members: Set
    files: list[str]
    attributes: list[Attribute]

    @property
    def unguided(self):
        return self.case.unguided

    @functools.cached_property
    def varied(self):
        """The attributes that vary among unguided samples, with finite numbers for all."""
        return [
            one
            for one in self.attributes
            if all(one.values(set).isfinite().all() for set in (self.unguided, self.members, self.case.query))
            and one.values(self.unguided).std() > 1e-9 * (1 + one.values(self.unguided).abs().max())
        ]

    def table(self, set):
        """Numbers (N, K) of the pictures of a set, a column for each of `varied`."""
        return torch.stack([one.values(set) for one in self.varied], 1)

    @functools.cached_property
    def others(self):
        """Networks with classes besides the target that know its class of the query."""
        return [network for network in self.case.networks[1:] if network.classes]


def subject(case, attributes):
    """The `Subject` of a case; `ValueError` for too few members, and for members whose like no unguided sample is."""
    records = case.run.records
    reason = "its method draws from no prior" if noiseless(records) else like_the_query(case.run.config)
    if reason:
        raise ValueError(
            f"{case.run.path}: {reason}: what sets them off from unguided samples is not what the network looks at;"
            " audit a run without that"
        )
    rows = [i for i, record in enumerate(records) if record["status"] == "converged"]
    if len(rows) < FEWEST:
        raise ValueError(
            f"{case.run.path}: {len(rows)} of {len(records)} samples converged; an audit needs at least {FEWEST}"
        )
    members = case.samples if len(rows) == len(records) else Set(case, case.samples.pictures[rows])
    return Subject(case, members, [records[i]["file"] for i in rows], attributes)
