"""The object that a group of options describes, made by Hydra; what keeps it from being made, in one line."""

import inspect
import pkgutil
import re

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from equidiff_cli.request.groups import no_such_key
from equidiff_cli.request.guard import untouched

NEEDED = {  # what the program uses of what a group gives, to be missed before anything is loaded
    "prior": ("medium", "image_size", "steps", "sources", "build"),
    "method": ("__call__",),
    "question": ("__call__", "spread"),
    "distance": ("__call__",),
    "filter": ("__call__",),
    "robust": ("__call__",),
    "optimizer": ("init", "step"),
}
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def part(config: DictConfig, group: str, *parts, **options):
    """The object that group `group` describes; `parts` and `options` are passed besides its own options.

    Whatever keeps it from being made is the request's fault and becomes a `ValueError` of one line.
    """
    where = f"{group}._target_={config[group].get('_target_')}"
    try:
        with untouched(where):
            check_keys(config, group, len(parts), options)
            made = instantiate(config[group], *parts, **options)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ValueError):
            raise cause from None
        while isinstance(cause, ImportError) and cause.__cause__:  # Hydra says it at length
            cause = cause.__cause__
        raise ValueError(f"{where}: {_plainly(cause or error)}") from error
    lacking = [name for name in NEEDED.get(group, ()) if not hasattr(made, name)]
    if lacking:
        what = "cannot be called" if lacking[0] == "__call__" else f"has no {lacking[0]}"
        raise ValueError(f"{where}: gives a {type(made).__name__}, which {what}; see docs/how-to-extend.md")
    return made


def _plainly(cause):
    """One line for what kept an object from being made; of a module without the name that was asked for, that."""
    text = " ".join(str(cause).split())
    found = re.fullmatch(r"No module named '(.*)\.(.*)'; '\1' is not a package", text)
    return f"there is no {found[2]} in {found[1]}" if found else text


def check_keys(config: DictConfig, group: str, parts: int, options: dict):
    """`ValueError` for a key that the function or class behind a group does not take, and for one that it lacks.

    Args:
        parts: how many arguments it is called with before all others.
        options: the arguments that it is called with by name besides its keys.
    """
    node, taken = config[group], parameters(config, group)
    if taken is None or "_args_" in node:
        return
    taken = list(taken.values())
    kinds = {one.kind for one in taken}
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        taken = taken[parts:]
    taken = [one for one in taken if one.kind in BY_NAME]
    names = [one.name for one in taken if one.name not in options]
    given = [name for name in node if not name.startswith("_")]
    for name in given:
        if name not in names and (name in options or inspect.Parameter.VAR_KEYWORD not in kinds):
            raise ValueError(no_such_key(group, name, names))
    for one in taken:
        needed = one.default is inspect.Parameter.empty and not node.get("_partial_")
        if needed and one.name not in (*given, *options):
            raise ValueError(f"{group}.{one.name}: has no default, give a value (+{group}.{one.name}=...)")


def parameters(config: DictConfig, group: str):
    """What the function or class behind a group takes, by name; None where that is not known."""
    try:
        return inspect.signature(pkgutil.resolve_name(config[group]._target_)).parameters
    except Exception:  # it cannot be had, or called: a user's own module may raise anything, which `part` says better
        return None
