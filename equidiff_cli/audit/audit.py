"""All sections of the audit of one run put together: what `audit.json` holds."""

import torch

from equidiff_cli.audit.attributes.all import attributes
from equidiff_cli.audit.clusters import clusters
from equidiff_cli.audit.conclusions import conclusions
from equidiff_cli.audit.detector import detector
from equidiff_cli.audit.disagreement import disagreement
from equidiff_cli.audit.fairness import groups
from equidiff_cli.audit.generalisation import generalisation
from equidiff_cli.audit.holding import holding
from equidiff_cli.audit.robustness import robustness
from equidiff_cli.audit.subject import subject

FORMAT = 1
PICTURED = 8  # attributes whose unguided samples are shown


@torch.no_grad()
def audit(case, network_of):
    """The audit of a `Case` as plain dicts, lists and numbers (docs/audit.md), and the unguided samples to show, number
    -> (3, H, W); `ValueError` for too few members or an attribute that cannot be had.

    Args:
        network_of: the name of an option of the group target -> the network.
    """
    run = case.run
    one = subject(case, attributes(case, network_of))
    apart = disagreement(one)
    found = {
        "format": FORMAT,
        "complete": run.complete,
        "warnings": run.warnings,
        "target": run.summary.get("target", case.target.name),
        "objective": run.summary.get("objective", ""),
        "query": run.summary.get("query", run.config.query),
        "members": len(one.members),
        "samples": len(run.records),
        "unguided_samples": len(one.unguided),
        "law": {"about": case.law.about, "reason": case.law.reason, "count": case.law.count},
        "attributes": holding(one),
        "clusters": clusters(one),
        "disagreement": apart,
        "groups": groups(one),
        "generalisation": generalisation(one, apart),
        "robustness": robustness(one),
        "detector": detector(one),
    }
    shown = {i for row in found["attributes"][:PICTURED] for part in row["unguided"] for i in part}
    pictures = {i: case.unguided.pictures[i].cpu() for i in sorted(shown)}
    return found | {"findings": conclusions(found)}, pictures
