"""Everything that a configuration names, built in one pass.

What a group's option accepts is checked by the object that its `_target_` names. Priors and targets are named by light
objects: they check their options when made, say where their weights come from, and read them only in `build`.
"""

import logging
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from equidiff_cli.engine.device import name_of, pick_device, pick_precision, set_tf32
from equidiff_cli.engine.trial import pictures, try_question
from equidiff_cli.pictures.read import NOTHING
from equidiff_cli.prior.prior import Prior, sample_seed
from equidiff_cli.request.check import check, check_solver_steps
from equidiff_cli.request.cluster import indices
from equidiff_cli.request.groups import plain
from equidiff_cli.request.identity import identity_of, own_weights, prior_weights, target_weights
from equidiff_cli.request.keep import kept
from equidiff_cli.request.labels import Label, label_of, settled
from equidiff_cli.request.light import bring, light_prior, prior_of, ready, target_of_term
from equidiff_cli.request.method import budget_of, in_units_of, method_of, sharing, views_of
from equidiff_cli.request.part import part
from equidiff_cli.request.question import (
    asked,
    asked_besides,
    begun,
    cautions,
    is_endless,
    objective_of,
    question_of,
    region,
)
from equidiff_cli.request.views import differing, views
from equidiff_cli.runs.names import FORMAT
from equidiff_cli.runs.reader import flat
from equidiff_cli.target import probabilities
from equidiff_cli.target.names import described
from equidiff_cli.target.target import Target

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """All that a run draws members with, ready to use.

    Args:
        prior, target, question, method: as the groups of these names say; `question` holds objective, distance, filter.
        label: how the class of a sample is chosen, see `labels.Label`.
        medium: how queries are read and samples are kept, `Pictures` or `Points`.
        picture: the query (C, H, W) in [0, 1], on the CPU.
        region: where alone pictures may differ, or what is held, (1, H, W), 1 in it; None: everywhere.
        seeds: (index, seed) of every sample.
        steps, threshold: the budget.
        batch, checkpoint, gradient_steps, null_samples: as configured, "auto" and "all" included.
        loss_scale: as configured, but 1 for "auto" where the distance has a unit of its own.
        tolerance: how far two values of the objective may be off and still be the same up to rounding.
        identity: flat; what results depend on. A run goes on only with the same.
        summary: what the record of the run says of the request; its "warnings" are lines about what may mislead.
    """

    prior: Prior
    target: Target
    question: Any
    method: Any
    label: Label
    medium: Any
    picture: torch.Tensor
    region: torch.Tensor | None
    seeds: list
    steps: int
    threshold: float
    batch: int | str
    checkpoint: int | str
    gradient_steps: int | str
    loss_scale: float | str
    null_samples: int
    tolerance: float
    identity: dict
    summary: dict

    @property
    def asks(self):
        """What is asked, in words."""
        return self.summary["question"]["asks"]


def build(config: DictConfig, given=(), target=None, objective=None) -> Parts:
    """The parts of a run; `ValueError` in one line for the first thing that is wrong, before anything large is read.

    Args:
        given: words of the command line, among them the groups that were chosen on purpose.
        target, objective: objects to take instead of what the groups of these names say.
    """
    check(config)
    device = pick_device(config.device)
    precision, autocast = pick_precision(config.precision, device)
    set_tf32(config.tf32, device)
    prior_source = light_prior(config)
    check_solver_steps(config, prior_source.steps)
    label = label_of(prior_source)
    medium = prior_source.medium
    picture = medium.query(config.query, prior_source.image_size)
    method, loss = method_of(config, given, is_endless(config)), [part(config, "distance"), views_of(config)]
    target_source = part(config, "target") if target is None else target
    if getattr(method, "exact", False) and config.gradient_steps != "all":
        raise ValueError(
            f"gradient_steps={config.gradient_steps}: this method needs exact gradients; use gradient_steps=all"
        )
    if hasattr(method, "prepare"):
        method.prepare(picture[None], prior_source)
    bring(target_source, prior_source, say=log.info)
    query = picture[None].to(device)
    if target is None:
        described_by = [plain(config.target), str(device)]
        target = kept("target", described_by, lambda: ready(target_source, query))
    else:
        target = ready(target_source, query)
    held = objective_of(config, target, query, given, target_of_term) if objective is None else objective
    mask = region(config, held, query)
    question = asked_besides(config, question_of(config, target, query, *loss, held, mask), target, query, mask)
    if hasattr(getattr(method, "optimizer", None), "rows") and not hasattr(question, "residuals"):
        raise ValueError(
            f"question._target_={config.question._target_}: has no residuals, which optimizer._target_="
            f"{config.optimizer._target_} solves for; use another optimizer, or see docs/how-to-extend.md"
        )
    if hasattr(method, "suits"):
        method.suits(question, pictures(query))
    if uses := getattr(target, "uses", None):
        log.info("%s: %s", target.name, "; ".join(f"{name} {value}" for name, value in uses.items()))
    own = own_weights(target, objective=question.objective, distance=loss[0], filter=loss[1], question=question)
    held = described(question.objective, objective, config.objective.get("_target_"))
    networks = getattr(question.objective, "networks", [target])
    tolerance = try_question(question, query, f"objective={held}, target={target.name}")
    nothing = config.query == NOTHING
    seen = (None, []) if nothing else views(medium, config.query, target, question.objective, query)
    label = settled(label, target, query)
    described_by = [plain(config.prior), str(device), precision, config.compile]
    prior = kept("prior", described_by, lambda: prior_of(prior_source, device, autocast, config.compile))
    prior = prior.draws_as(label.rule)
    if "near" not in getattr(method, "ignores", ()):  # else no sample begins at any noise
        prior = begun(config, prior, question, query, mask)
    weights = prior_weights(prior) | target_weights(target) | own
    scale, threshold = in_units_of(loss[0], config)
    settings = flat(plain(config)) | {"device": str(device), "precision": precision}
    settings |= {"loss_scale": scale, "budget.threshold": threshold}
    identity = identity_of(settings, weights, medium.identify(picture), label, mask, method)
    return Parts(
        prior=prior,
        target=target,
        question=question,
        method=method,
        label=label,
        medium=medium,
        picture=picture,
        region=None if mask is None else mask[0].cpu(),
        seeds=[(i, sample_seed(config.seed, i)) for i in indices(config)],
        **{name: budget_of(config, method)[name] for name in ("steps", "threshold")},
        loss_scale=scale,
        **{name: config[name] for name in ("batch", "checkpoint", "gradient_steps", "null_samples")},
        tolerance=tolerance,
        identity=identity,
        summary={
            "configuration": identity,
            "objective": held,
            "prior": prior.name,
            "label": label.summary,
            "target": " and ".join(network.name for network in networks),
            "question": asked(config, question, held, target),
            "query": config.query,
            "medium": medium.name,
            "device": name_of(device),
            "precision": precision,
            "weights": weights,
            "views": seen[0],
            "warnings": [
                *label.warnings(prior.name),
                *warnings(config, target, question, picture, *seen),
                *sharing(method, question, query),
                *cautions(config, question, prior),
            ],
            **({"target_uses": uses} if uses else {}),
        },
    )


def warnings(config: DictConfig, target, question, picture, seen=None, of_query=()):
    """What may mislead in the result although the request is right, a line each: said before a run starts, kept in its
    summary and shown on its page.

    Args:
        seen, of_query: what `views` gave.
    """
    return [*probabilities.warning(target), *of_query, *differing(seen, target, question.objective)]


def recorded(run):
    """The configuration that a finished run (of `runs/reader.py`) was made with, to build its parts again.

    `ValueError` if it is none of this program, or of a version whose parts were others.
    """
    config = OmegaConf.create(run.config)
    lacking = [key for key in ("prior", "target", "objective", "filter", "precision", "batch") if key not in config]
    if lacking:
        raise ValueError(
            f"{run.path}: .hydra/config.yaml has no {lacking[0]}, this is a run of another version or program"
        )
    if run.finished and run.summary.get("format") != FORMAT:
        raise ValueError(f"{run.path}: was made by another version, its parts are not those of this one; draw it again")
    return config
