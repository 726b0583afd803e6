"""What is asked, put together: the objective of a request, its question, what it asks besides, where samples begin."""

import pkgutil
import re

import torch
from omegaconf import DictConfig, OmegaConf

from equidiff_cli.engine.device import exact
from equidiff_cli.parts.attribution import attributed
from equidiff_cli.parts.wrapped import Apart, Evidence, OfEvidence, Within
from equidiff_cli.pictures.mask import region_of
from equidiff_cli.prior.starts import Starts
from equidiff_cli.request.asking import composed_terms, shares
from equidiff_cli.request.groups import kind, plain
from equidiff_cli.request.part import part
from equidiff_cli.request.terms import All
from equidiff_cli.target.copies import copied
from equidiff_cli.target.features import Features


def question_of(config: DictConfig, target, query, distance, lowpass, objective=None, mask=None):
    """The question, asked of the query once: a distance that does not fit the objective says so now."""
    objective = objective_of(config, target, query) if objective is None else objective
    distance, lowpass = map(copied, (distance, lowpass))
    if mask is not None and config.region_role == "evidence":
        objective = evidence(objective, mask, query)
        lowpass = OfEvidence(lowpass, Evidence(objective, mask, query))
    parts = [distance, lowpass, query.clone()]
    with exact():
        if isinstance(objective, All):
            question = objective.question(*parts)
        else:
            question = part(config, "question", copied(objective), *parts)
    question(query.clone())
    return question


def evidence(objective, mask, query):
    """The objective by the evidence of a region alone; of several terms, each of them."""
    if isinstance(objective, All):
        return objective.through(lambda one: Evidence(one, mask, query))
    return Evidence(copied(objective), mask, query)


def objective_of(config: DictConfig, target, query, given=(), other=None):
    """The objective: that of its group, or what the question holds in its place.

    Args:
        given: words of the command line.
        other: (configuration of a target, query) -> that target, ready; for terms that name one.
    """
    made = resolved(config, "question")
    if hasattr(made, "margin"):
        if words := [word for word in given if re.match(r"\+*objective[.=]", word)]:
            raise ValueError(f"{words[0]}: this question has an objective of its own, by question.label; leave it out")
        options = {key: value for key, value in config.question.items() if not key.startswith("_")}
        return made.margin(target, query.clone(), **options)
    if kind(config.objective) == "All":
        return All(target, query.clone(), config.objective.terms, lambda node: other(node, query))
    return part(config, "objective", target, query.clone())


def resolved(config, group):
    """What a group's `_target_` names; None where that cannot be had, which `part` says better."""
    try:
        return pkgutil.resolve_name(config[group]._target_)
    except Exception:  # a user's own module may raise anything
        return None


def is_endless(config):
    """Whether nothing that is asked is ever reached, so that no loss is below the threshold."""
    if kind(config.objective) == "All":
        terms = composed_terms(plain(config.objective.terms))
        return any(getattr(resolved({"question": term[2]}, "question"), "endless", False) for term in terms)
    return getattr(resolved(config, "question"), "endless", False)


def region(config: DictConfig, objective, query):
    """The mask (1, 1, H, W) of the region, 1 in it, on the device of the query; None without one."""
    if config.get("region") is None:
        return None
    size = query.shape[-1]
    inside = region_of(plain(config.region), config.query, size)
    if inside is None:
        return attributed(objective, query, config.region_share)
    return torch.from_numpy(inside)[None, None].to(query)


def asked_besides(config: DictConfig, question, target, query, mask):
    """The question with what is asked besides: that pictures differ in a region alone, or from each other."""
    if mask is not None and config.region_role == "free":
        question = Within(question, mask, query)
    if config.diverse:
        question = Apart(question, Features(target, query), float(config.diverse))
    return question


def begun(config: DictConfig, prior, question, query, mask):
    """The prior, whose samples begin at fresh noise or, if that is asked, near the query's."""
    near = config.near if config.near is not None else getattr(question, "near", None)
    where = mask if mask is not None and config.region_role == "free" else None
    if near is None and where is None:
        return prior
    return Starts(prior, query, tuple(map(float, shares(1.0 if near is None else near))), where, config.least_psnr)


def cautions(config: DictConfig, question, prior):
    """What may mislead in what is asked, a line each."""
    noise = config.optimizer.get("noise") if OmegaConf.is_dict(config.optimizer) else None
    if getattr(question, "endless", False) and noise == "free":
        yield (
            "optimizer.noise=free: nothing keeps the noise like the prior's while a value is raised or lowered without"
            " end, so pictures leave what the prior knows; use optimizer.noise=sphere or white"
        )
    if config.samples > 1 and getattr(prior, "near", None) == (0.0, 0.0) and prior.where is None:
        alike = "all begin at the query's own noise and are the same"
        yield f"samples={config.samples}: {alike}; near=[0,0.3] gives others"
    if config.diverse:
        yield "diverse: samples of a batch repelled each other, so they are not independent"


def asked(config, question, held, target):
    """What the record of a run says of its question."""
    words = getattr(question, "asks", "the {objective} in {target}").format_map(
        {"objective": held, "target": target.name}
    )
    more = {"terms": question.names} if hasattr(question, "names") else {}
    return {"asks": words, "endless": getattr(question, "endless", False)} | more
