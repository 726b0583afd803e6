"""The configuration as Hydra composes it: types of the top-level keys, checks, and the parts built from the groups.

Defaults live in `configs/`, with a word on each; here are only types. What a group option accepts is checked by the
class that its `_target_` names.
"""

import inspect
import re
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from typing import Any

from hydra import compose
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException
from hydra.utils import get_method, instantiate
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from equidiff_cli.checks import choices, number, one_of, word_or_number

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass
class Budget:
    """How long to try: `steps` evaluations of the loss a sample, and the `threshold` below which it has converged."""

    steps: int = MISSING
    threshold: float = MISSING


@dataclass
class RunConfig:
    """Everything `equidiff run` takes; the groups first, then plain values."""

    prior: Any = MISSING
    target: Any = MISSING
    objective: Any = MISSING
    distance: Any = MISSING
    filter: Any = MISSING
    optimizer: Any = MISSING
    budget: Budget = MISSING
    query: str = MISSING
    samples: int = MISSING
    batch: Any = MISSING
    checkpoint: Any = MISSING
    gradient_steps: Any = MISSING
    seed: int = MISSING
    device: str = MISSING
    precision: str = MISSING
    tf32: bool = MISSING
    compile: bool = MISSING
    loss_scale: Any = MISSING
    null_samples: int = MISSING


@dataclass
class FetchConfig:
    """Everything `equidiff fetch` takes: the groups whose weights to bring."""

    prior: Any = None
    target: Any = None


@dataclass
class EvaluateConfig:
    """Everything `equidiff evaluate` takes besides the run directories."""

    null_samples: int = MISSING
    tolerances: list[float] = MISSING
    cutoffs: list[float] = MISSING
    jpeg: list[int] = MISSING
    heldout: Any = MISSING
    real: str | None = None
    likelihood: int = MISSING
    probes: int = MISSING
    likelihood_steps: int = MISSING
    output: str | None = None
    seed: int = MISSING
    device: str = MISSING
    batch: int = MISSING


@dataclass
class ReportConfig:
    """Everything `equidiff report` takes besides the run directories."""

    output: str | None = None
    format: str = MISSING


def register():
    """Make the schemas known to Hydra under the names the YAML files use."""
    ConfigStore.instance().store(name="run_schema", node=RunConfig)
    ConfigStore.instance().store(name="fetch_schema", node=FetchConfig)
    ConfigStore.instance().store(name="evaluate_schema", node=EvaluateConfig)
    ConfigStore.instance().store(name="report_schema", node=ReportConfig)


def complete(config: DictConfig):
    """`ValueError` for the first key that nothing reads, that was taken out, or that has no value."""
    _known(config)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ValueError(f"{missing[0]}: has no default, give a value ({missing[0]}=...)")


def _known(node, above=""):
    """The first two of these for a node and all below it, and values `${...}` that cannot be had."""
    kind = OmegaConf.get_type(node)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(node)
    for name in node:
        if name not in names:
            raise ValueError(f"{above}{name}: no such key; {choices(name, [above + other for other in names])}")
    for name in names:
        if name not in node.keys():
            raise ValueError(f"{above}{name}: has no default, give a value ({above}{name}=...)")
        try:
            value = None if OmegaConf.is_missing(node, name) else node[name]
        except OmegaConfBaseException as error:  # of ${...}
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"{above}{name}: {reason}") from error
        if isinstance(value, DictConfig):
            _known(value, f"{above}{name}.")


def check(config: DictConfig):
    """Raise `ValueError` for the first value out of range; nothing is loaded for it."""
    complete(config)
    for group in ("prior", "target", "objective", "distance", "filter", "optimizer"):
        if not OmegaConf.is_dict(config[group]):
            raise ValueError(
                f"{group}={config[group]}: must hold keys; in a file, another option is chosen in defaults:"
                f" - override /{group}: {config[group]}"
            )
    number("samples", config.samples, minimum=1, whole=True)
    word_or_number("batch", config.batch, "auto", minimum=1, whole=True)
    number("prior.steps", config.prior.steps, minimum=1, whole=True)
    solver_steps = dict(maximum=config.prior.steps, whole=True)
    word_or_number("checkpoint", config.checkpoint, "auto", "all", "none", minimum=0, **solver_steps)
    word_or_number("gradient_steps", config.gradient_steps, "all", minimum=1, **solver_steps)
    number("seed", config.seed, minimum=0, maximum=2**32 - 1, whole=True)
    number("budget.steps", config.budget.steps, minimum=1, whole=True)
    number("budget.threshold", config.budget.threshold, above=0)
    number("null_samples", config.null_samples, minimum=2, whole=True)
    one_of("precision", config.precision, PRECISIONS)
    word_or_number("loss_scale", config.loss_scale, "auto", above=0)


def build(config: DictConfig, group: str, *parts, **options):
    """Make the object that group `group` describes; `parts` and `options` are passed besides its own options.

    Whatever keeps it from being made is the request's fault and becomes a `ValueError` of one line.
    """
    try:
        return instantiate(config[group], *parts, **options)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ValueError):
            raise cause from None
        reason = " ".join(str(cause or error).split())
        extra = re.search(r"got an unexpected keyword argument '(\w+)'", reason)
        if extra and extra[1] in config[group]:  # else it comes from inside
            takes = inspect.signature(get_method(config[group]._target_)).parameters
            names = [name for name in config[group] if name in takes]
            raise ValueError(f"{group}.{extra[1]}: no such key; {choices(extra[1], names)}") from error
        raise ValueError(f"{group}._target_={config[group].get('_target_')}: {reason}") from error


def sources(config: DictConfig, group: str):
    """Where the weights of a group's object come from, after a check of its options: what the function that `_target_`
    names says in its attribute `sources`; nothing for what ships with the package and for a user's own."""
    lister = getattr(_builder(config, group), "sources", None)
    options = OmegaConf.to_container(config[group], resolve=True)
    return lister(**{key: value for key, value in options.items() if not key.startswith("_")}) if lister else []


def medium(config: DictConfig):
    """What the prior makes: the attribute `medium` of the function that `_target_` names, or else pictures."""
    from equidiff_cli.medium.pictures import Pictures  # Pillow and NumPy: completion answers without them

    return getattr(_builder(config, "prior"), "medium", Pictures)()


def _builder(config, group):
    """The function of this package that a group's `_target_` names; None for a user's own."""
    module, _, name = str(config[group]._target_).rpartition(".")
    if not module.startswith("equidiff_cli."):
        return None
    try:
        return getattr(import_module(module), name, None)
    except ImportError as error:
        raise ValueError(f"{group}._target_={config[group]._target_}: {error}") from None


def options(group: str):
    """The names of the options of a group, those of the user's own folders included."""
    return GlobalHydra.instance().config_loader().get_group_options(group)


def option(group: str, name: str):
    """The configuration of `equidiff run` with another option of a group."""
    return compose("run", overrides=[f"{group}={name}"])


def is_whole(group: str, name: str):
    """Whether an option of a group is sound and says all that it needs, so that nothing has to be given beside it."""
    try:
        return not OmegaConf.missing_keys(option(group, name)[group])
    except (HydraException, OmegaConfBaseException, YAMLError):
        return False


def flat(config: DictConfig):
    """All values by their dotted key."""

    def walk(node, prefix):
        for key, value in node.items():
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    return dict(walk(OmegaConf.to_container(config, resolve=True), ""))
