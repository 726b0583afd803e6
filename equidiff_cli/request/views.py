"""What the target sees of the query as it was given, beside what it sees of the square at the prior's resolution."""

import torch

from equidiff_cli.engine.device import exact
from equidiff_cli.parts.objectives import Logit, Logits, Margin, Probability
from equidiff_cli.target.probabilities import probabilities

SHORTEST = 512  # pixels of the original's shorter side, at least
TIMES = 4  # and at least so many times those that the target takes
AMOUNTS = {Probability: (0.2, ""), Logit: (1.0, " logits"), Logits: (1.0, " logits"), Margin: (1.0, " logits")}
SHARE = 0.25  # of the original's value, for all other objectives


def views(medium, query, target, objective, picture):
    """(views, lines): what the target sees of the original and of the query, and what the medium says of the original.

    The views are None where the medium has no originals, or the original is not larger than the query.

    Args:
        medium, query: reads the original, under this name.
        objective: pictures (N, 3, H, W) -> values (N, K).
        picture: the query (1, 3, H, W), on the device of the target.

    Returns:
        For "original" and "query" the `size` [W, H], the `value` of the objective and, of a target with classes, `top`
        and its `probability`; or the `error` for which the target cannot take pictures of the original's size.
    """
    if not hasattr(medium, "original"):
        return None, []
    original, lines = medium.original(query, max(SHORTEST, TIMES * _input(target, picture)))
    if max(original.shape[-2:]) <= picture.shape[-1]:
        return None, lines
    found = {"query": _view(target, objective, picture)}
    try:
        found["original"] = _view(target, objective, original[None].to(picture.device))
    except Exception as error:  # of a network of one's own for pictures of one size
        found["original"] = {"size": [*original.shape[:0:-1]], "error": " ".join(str(error).split())[:200]}
    return found, lines


def differing(found, target, objective):
    """Lines on what changes between the two views: the top class, or the objective's value by more than a stated
    amount.
    """
    if found is None or "error" in found["original"]:
        return []
    original, query = found["original"], found["query"]
    where = "the original at {} x {} pixels, {} in query.png at {} x {}"
    lines = []

    def add(what, first, second):
        places = where.format(*original["size"], second, *query["size"])
        lines.append(f"{what} is {first} in {places}: members are members of what is seen in query.png")

    if original.get("top") != query.get("top"):
        add(
            f"the top class of {target.name}",
            *(f"{view['top']} ({view['probability']:.2f})" for view in (original, query)),
        )
    first, second = (torch.tensor(view["value"]).flatten() for view in (original, query))
    if first.shape != second.shape:
        return lines
    at = (first - second).abs().argmax()
    change = (first - second).abs().max().item()
    amount, unit = next((amount for kind, amount in AMOUNTS.items() if isinstance(objective, kind)), (None, ""))
    if amount is None:
        change, amount = (first - second).norm().item(), SHARE * first.norm().item()
    if change > amount:
        what = getattr(objective, "description", "the objective")
        if len(first) > 1:
            what = f"one value of the {what}"
        add(f"{what}", f"{first[at]:.4g}{unit}", f"{second[at]:.4g}")
    return lines


@torch.no_grad()
def _view(target, objective, x):
    with exact():
        value, classes = objective(x.clone())[0].float(), _classes(target)
        seen = {"size": [*x.shape[:1:-1]], "value": value.tolist()}
        if classes:
            found = probabilities(target, target(x.clone()))[0].float()
            top = found.argmax().item()
            seen |= {"top": classes[top], "probability": found[top].item()}
    return seen


def _classes(target):
    try:
        return list(target.classes)
    except (AttributeError, ValueError):  # which has none
        return []


@torch.no_grad()
def _input(target, picture):
    """Pixels along the longer side of what the network takes."""
    transform = getattr(target, "transform", None)
    return max((picture if transform is None else transform(picture)).shape[-2:])
