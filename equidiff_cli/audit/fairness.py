"""Two groups of members by an attribute: the value must be the same in both, and who falls where is against chance."""

import torch

from equidiff_cli.metrics.compare import p_values
from equidiff_cli.metrics.interval import wilson

FEWEST = 4  # members of a group


def groups(subject):
    """Two groups by the attribute `group`: whether the value differs between them, and who falls where.

    Returns a dict, or why there are no groups; `ValueError` for an attribute that is not there.
    """
    case, wanted = subject.case, subject.case.options.group
    known = {one.name: one for one in subject.varied}
    if wanted not in known:
        raise ValueError(f"group={wanted}: no such attribute; use one of {', '.join(known)}")
    one = known[wanted]
    split = one.values(subject.unguided).median().item() if one.split is None else one.split
    upper, chance = (one.values(set) > split for set in (subject.members, subject.unguided))
    found = {"attribute": one.name, "title": one.title, "low": one.low, "high": one.high, "split": split}
    low, high = wilson(int(upper.sum()), len(upper))
    found |= {
        "share": upper.double().mean().item(),
        "interval": [low, high],
        "unguided_share": chance.double().mean().item(),
    }
    if min(int(upper.sum()), int((~upper).sum())) < FEWEST:
        return found | {"reason": f"fewer than {FEWEST} members are in one of the groups: no values to compare"}
    values = (subject.members.values - case.target_values).norm(dim=1)
    if subject.members.values.shape[1] == 1:  # with a sign
        values = (subject.members.values - case.target_values)[:, 0]
    rows = (torch.cat([values[upper], values[~upper]]) / case.spread)[:, None]
    count = int(upper.sum())
    difference = (rows[:count].mean() - rows[count:].mean()).item()
    _, p = p_values(rows, count, case.options.permutations, case.options.seed)
    return found | {"difference": difference, "p": p.item(), "reason": None}
