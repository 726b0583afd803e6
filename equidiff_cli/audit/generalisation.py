"""The real pictures nearest to members, and whether the target is as right there as elsewhere."""

import torch

from equidiff_cli.metrics.interval import wilson
from equidiff_cli.target.probabilities import probabilities

SHOWN = 8


def generalisation(subject, disagreement):
    """What networks say of the real pictures nearest to members in features of the last network, and the accuracy of
    the target near members that others disagree with, beside the rest; or why nothing can be said.

    Labels of real pictures are the names of their folders, where the target has classes of these names.

    Args:
        disagreement: of `disagreement.disagreement`.
    """
    case = subject.case
    if case.real is None:
        return {"reason": "real=FOLDER gives the real pictures to look among"}
    network, target = case.networks[-1], case.networks[0]
    far = torch.cdist(subject.members.features(network).double(), case.real.features(network).double())
    nearest = far.argmin(1)
    doubted = {one["file"] for one in disagreement.get("members", [])}
    rows = [
        {"member": file, "real": str(case.real_files[near]), "distance": far[i, near].item()}
        | {"seen": seen_in(case, near), "doubted": file in doubted}
        for i, (file, near) in enumerate(zip(subject.files, nearest.tolist(), strict=True))
    ]
    rows.sort(key=lambda row: (not row["doubted"], row["distance"]))
    found = {"reason": None, "network": network.name, "nearest": rows[:SHOWN]}
    labels = [label(target, file) for file in case.real_files]
    known = torch.tensor([one is not None for one in labels])
    if not target.classes or not known.any():
        return found | {"accuracy": None}
    right = case.real.logits(target).argmax(1) == torch.tensor([-1 if one is None else one for one in labels])
    near = torch.zeros(len(labels), dtype=torch.bool)
    near[[i for i, file in zip(nearest.tolist(), subject.files, strict=True) if file in doubted]] = True
    return found | {"accuracy": {"near": share(right[known & near]), "rest": share(right[known & ~near])}}


def seen_in(case, index):
    """What every network with classes sees in one of the real pictures."""
    found = {}
    for network in case.networks:
        if network.classes:
            given = probabilities(network.target, case.real.logits(network)[index : index + 1].double())[0]
            top = given.argmax().item()
            found[network.name] = {"class": network.classes[top].split(", ")[0], "probability": given[top].item()}
    return found


def label(target, file):
    """The class that the folder of a picture is called by, or None."""
    try:
        return target.target.class_index("real", file.parent.name)
    except ValueError:
        return None


def share(right):
    """The share of True in (N,), with its interval; None of none."""
    if not len(right):
        return None
    low, high = wilson(int(right.sum()), len(right))
    return {"value": right.double().mean().item(), "interval": [low, high], "count": len(right)}
