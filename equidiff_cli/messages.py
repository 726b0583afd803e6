"""Hydra's and OmegaConf's errors in one line: the key, the value and what would be accepted."""

import re

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, ValidationError

from equidiff_cli.checks import choices


def explain(error, configs, command="run"):
    """One line for any error of composing a configuration."""
    if isinstance(error, OverrideParseException):
        if "=" not in error.override:
            return f"{error.override}: no key; give key=value, such as query={error.override}"
        return (
            f"{error.override}: not understood; values with = , ( ) [ ] ' or \" in them must be quoted twice,"
            " such as 'query=\"a=b.png\"'"
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option}: {choices(option, error.options or _options(configs, group))}"
    cause = error.__cause__ or error
    if isinstance(error, ConfigCompositionException):
        if group := re.match(r"Could not override '([^']+)'\.\s*No match in the defaults list", str(error)):
            return f"{group[1]}: no such group; {choices(group[1], _groups(configs))}"
        if isinstance(cause, ConfigKeyError) or re.search(r"not in (struct|'\w+Config')", str(cause)):
            key = getattr(cause, "full_key", None) or str(error)
            if owners := _owners(configs, key):
                return f"{key}: the chosen option of {key.partition('.')[0]} has no such key, only {', '.join(owners)}"
            return f"{key}: no such key; {choices(key, _siblings(configs, key, command))}"
        if isinstance(cause, ValidationError):
            wanted = re.search(r"to (Integer|Float)", str(cause))
            kind = {"Integer": "a whole number", "Float": "a number"}[wanted[1]] if wanted else "of its type"
            kind = "true or false" if "not a valid bool" in str(cause) else kind
            value = re.search(r"Value '([^']*)'", str(cause))
            return f"{cause.full_key}={value[1] if value else ''}: must be {kind}"
    return str(error).splitlines()[0]


def _groups(configs):
    return sorted(folder.name for folder in configs.iterdir() if folder.is_dir())


def _options(configs, group):
    return sorted(file.stem for file in (configs / group).glob("*.yaml"))


def _owners(configs, key):
    """The options of a group, other than the chosen one, that have a dotted `key`."""
    group, _, inner = key.partition(".")
    files = sorted((configs / group).glob("*.yaml")) if inner and group != "experiment" else []
    return [f"{group}={file.stem}" for file in files if OmegaConf.select(OmegaConf.load(file), inner) is not None]


def _siblings(configs, key, command):
    """The keys of a command that exist beside a dotted `key`."""
    group, _, _ = key.rpartition(".")
    folder, *inner = group.split(".")
    names = set()
    for file in (configs / folder).glob("*.yaml") if group else [configs / f"{command}.yaml"]:
        node = OmegaConf.select(OmegaConf.load(file), ".".join(inner)) if inner else OmegaConf.load(file)
        names |= set(node or ())
        if not group:
            names |= {name for part in node.defaults if not isinstance(part, str) for name in part if "/" not in name}
    names -= {"defaults", "_target_", "_convert_", "hydra"}
    return sorted(f"{group}.{name}" if group else name for name in names)
