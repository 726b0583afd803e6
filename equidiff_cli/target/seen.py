"""What a classifier sees in pictures: its top class of each, and how probable it finds that class."""

import torch

from equidiff_cli.target.probabilities import probabilities


@torch.no_grad()
def seen(target, x):
    """One `{name of the target: {"class": ..., "probability": ...}}` for each of the pictures (N, 3, H, W) in [0, 1].

    The probability is that of a softmax over the logits, or what the network gives as such. It is `{}` where a network
    cannot say it: features and single outputs are no classes, and what is not finite is no probability.
    """
    names = named(target)
    if len(names) < 2:
        return [{} for _ in x]
    found, index = probabilities(target, target(x)).float().max(1)
    return [
        {target.name: {"class": names[i], "probability": round(p, 4)}} if p == p else {}  # NaN differs from itself
        for p, i in zip(found.tolist(), index.tolist(), strict=True)
    ]


def named(target):
    """The first name of every class; nothing for a network without a classifier."""
    try:
        return [str(names).split(", ")[0] for names in getattr(target, "classes", ())]
    except ValueError:
        return []
