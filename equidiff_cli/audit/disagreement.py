"""Members that only the target calls what it calls the query: Clever Hans candidates (Lapuschkin et al. 2019)."""

import torch

from equidiff_cli.metrics.interval import wilson
from equidiff_cli.study.classes import matches
from equidiff_cli.target.probabilities import probabilities

SHOWN = 12


def called(subject):
    """The class that the target sees in the query, as (index, name)."""
    target = subject.case.networks[0]
    index = subject.case.query.logits(target)[0].argmax().item()
    return index, target.classes[index].split(", ")[0]


def disagreement(subject):
    """Who disagrees, the most doubtful first, beside unguided samples; or why that cannot be told."""
    target = subject.case.networks[0]
    if subject.case.no_query:
        return {"reason": subject.case.no_query}
    if not target.classes:
        return {"reason": f"{target.name} gives features and has no classes"}
    index, name = called(subject)
    theirs = {other: dict(matches(target.classes, other.classes)).get(index) for other in subject.others}
    theirs = {other: one for other, one in theirs.items() if one is not None}
    if not theirs:
        reason = subject.case.heldout_reason or "no other network has the class"
        return {"class": name, "reason": reason}
    alone, doubt = alone_in(subject.members, target, index, theirs)
    chance, _ = alone_in(subject.unguided, target, index, theirs)
    order = [i for i in doubt.argsort(descending=True).tolist() if alone[i]]
    low, high = wilson(int(alone.sum()), len(alone))
    return {
        "class": name,
        "networks": [other.name for other in theirs],
        "share": alone.double().mean().item(),
        "interval": [low, high],
        "unguided_share": chance.double().mean().item(),
        "members": [{"file": subject.files[i], "doubt": doubt[i].item()} for i in order[:SHOWN]],
    }


def alone_in(set, target, index, theirs):
    """Whether the target alone calls a picture so (N,), and its probability less the highest of the others' (N,)."""
    mine = probabilities(target.target, set.logits(target).double())
    others = {other: probabilities(other.target, set.logits(other).double()) for other in theirs}
    agree = torch.stack([others[other].argmax(1) == one for other, one in theirs.items()]).any(0)
    highest = torch.stack([others[other][:, one] for other, one in theirs.items()]).amax(0)
    return (mine.argmax(1) == index) & ~agree, mine[:, index] - highest
