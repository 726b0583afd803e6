"""Values out of range and keys that nothing reads, in one line each; nothing is loaded for it."""

from dataclasses import fields, is_dataclass

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from equidiff_cli.checks import choices, number, one_of, word_or_number
from equidiff_cli.request.schema import PRECISIONS


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
