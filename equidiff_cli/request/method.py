"""The method of a request with what it takes of the other groups, and in which units its losses are."""

import re
from functools import partial

import torch
from omegaconf import DictConfig

from equidiff_cli.parts.robust import Joined, Nothing
from equidiff_cli.pictures.folder import pictures_of
from equidiff_cli.request.part import parameters, part

THRESHOLD = 3e-4  # of budget.threshold=auto in null distances, see docs/defaults.md


def method_of(config: DictConfig, given=(), endless=False):
    """The method, with what it takes of optimiser and budget; `ValueError` for what was given but it has no use for.

    That is what it names as `ignores`, groups or keys; a method that names nothing may still take no optimiser.

    Args:
        endless: whether nothing that is asked is ever reached: no loss is low enough then.
    """
    takes = parameters(config, "method") or {}
    offered = {name: value for name, value in budget_of(config).items() if name in takes}
    if endless and "threshold" in takes:
        offered["threshold"] = float("-inf")
    if "optimizer" in takes:
        offered["optimizer"] = part(config, "optimizer")
    if "pad" in takes:
        offered["pad"] = config.pad
    elif config.pad:
        raise ValueError("pad=true: only method=latent fills up its batches; leave it out")
    if "folder" in takes:
        offered["folder"] = partial(pictures_of, key="method.real", least=1)
    method = part(config, "method", **offered)
    for name in getattr(method, "ignores", () if "optimizer" in takes else ("optimizer",)):
        if words := [word for word in given if re.match(rf"\+*{name}[.=]", word)]:
            raise ValueError(f"{words[0]}: the chosen method takes no {name}; leave it out, or choose another method")
    return method


def budget_of(config: DictConfig, method=None):
    """The budget as configured, its threshold as a number, or what stands for it in a method that ends otherwise."""
    threshold = in_units_of(part(config, "distance"), config)[1]
    return {**config.budget, "threshold": threshold, **getattr(method, "budget", {})}


def in_units_of(distance, config: DictConfig):
    """(loss_scale, threshold) as configured, or for "auto" in the unit of a distance that has one of its own: where it
    says of what loss on it is the `same`, a loss is not compared with what chance gives.
    """
    same = getattr(distance, "same", None)
    scale, threshold = config.loss_scale, config.budget.threshold
    return (
        1.0 if scale == "auto" and same else scale,
        (same or THRESHOLD) if threshold == "auto" else threshold,
    )


def views_of(config: DictConfig):
    """What else of a picture has to hold the value: its low-passed copies, and other views if they are wanted."""
    filters, robust = part(config, "filter"), part(config, "robust")
    return filters if isinstance(robust, Nothing) else Joined(filters, robust)


def sharing(method, question, query):
    """A line if a second-order optimiser has too many residuals to solve for each."""
    optimizer = getattr(method, "optimizer", None)
    if not hasattr(optimizer, "rows") or (most := getattr(optimizer, "most", 1)) == 1:
        return []
    with torch.no_grad():
        residuals = question.residuals(*question(query.clone())[2:4])
    if optimizer.rows(residuals).shape[1] == residuals.shape[1]:
        return []
    return [
        f"{residuals.shape[1]} values to solve for, more than optimizer.most={most}: they share one row, and steps are"
        " those of optimizer=polyak"
    ]
