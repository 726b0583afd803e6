"""The configuration as Hydra composes it: types of the top-level keys, checks, and the parts built from the groups.

Defaults live in `configs/`, with a word on each; here are only types. What a group option accepts is checked by the
class that its `_target_` names.
"""

import inspect
import re
from importlib import import_module

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from equidiff_cli.checks import choices
from equidiff_cli.target.target import adopt
from equidiff_cli.weights.hub import find
from equidiff_cli.weights.read import sha256


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
    from equidiff_cli.pictures.medium import Pictures  # Pillow and NumPy: completion answers without them

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


def bring(config, say):
    """See that every file of weights is there, downloading what is published; `ValueError` for what is nowhere.

    Args:
        say: called with a line before every download.
    """
    find([source for group in ("target", "prior") for source in sources(config, group)], say)


def build_target(config, query):
    """The `Target` of the group `target`, on the device of the query (1, 3, H, W)."""
    target = adopt(build(config, "target"), query)
    target.model.to(query.device)
    return target


def prior_weights(prior):
    """SHA-256 of the files of a prior's weights, by `prior/` and the file's name: a target's may have the same name."""
    return {f"prior/{name}": digest for name, digest in prior.weights.items()}


def target_weights(target, digest=sha256):
    """The same of a target, by `target/` and the file's name; `digest` gives the SHA-256 of a file."""
    return {f"target/{file.name}": digest(file) for file in target.files}
