"""Hydra's, OmegaConf's and YAML's errors in one line: the key, the value and what would be accepted."""

import os
import re
import shlex
from pathlib import Path

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError
from yaml import MarkedYAMLError, YAMLError, safe_load

from equidiff_cli.checks import choices

PLAIN = r"[\w /\-\\+.$%*@?|:]"  # what Hydra takes in a value that is not quoted, letters without accents only
NEEDED = {  # what OmegaConf says of a value of the wrong type, and what is accepted
    "to Integer": "a whole number",
    "to Float": "a number",
    "not a valid bool": "true or false",
    "not a ListConfig": "a list such as [1,2]",
}


def explain(error, configs, arguments=()):
    """One line for any error of composing a configuration.

    Args:
        configs: the folder of the configurations.
        arguments: the words of the command line, in which a value is found that the error does not tell.
    """
    if isinstance(error, MarkedYAMLError):
        return _not_yaml(error)
    if isinstance(error, OverrideParseException):
        return _not_understood(error.override)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option}: {choices(option, error.options or _options(configs, group))}"
    if "Config group override must be" in str(error):  # a number or null where the name of an option belongs
        for group, values in map(_parts, arguments):
            for value in values.split(","):  # of a sweep
                if not group:
                    return f"={values}: no key; give key=value"
                if (configs / group).is_dir() and not isinstance(safe_load(value), str):
                    return f"{group}={value}: {choices(value, _options(configs, group))}"
    if isinstance(error, ConfigCompositionException) and (found := _of_composing(error, configs, arguments)):
        return found
    key = getattr(error, "full_key", None)  # of OmegaConf's errors, such as those of ${...}
    where = key or _unreadable(arguments)
    return (f"{where}: " if where else "") + _first_line(error)


def _first_line(error):
    """What is said of an error: the first line of its text or, of one without a text, of what caused it."""
    return str(error).strip().partition("\n")[0] or _first_line(error.__cause__ or error.__context__ or type(error))


def _unreadable(arguments):
    """The first file that `arguments` choose from a user's own folder and that cannot be read; None if all can."""
    folders = re.findall(r"(?:file://|^--config-dir[=\n]|^-cd[=\n]?)([^],'\"\n]+)", "\n".join(arguments), re.MULTILINE)
    for group, option in map(_parts, arguments):
        for file in (Path(folder, group, f"{option}.yaml") for folder in folders):
            try:
                OmegaConf.load(file) if file.is_file() else None
            except (OmegaConfBaseException, YAMLError, OSError, ValueError):
                return os.path.relpath(file)
    return None


def _not_yaml(error):
    mark = error.problem_mark
    where = f"{os.path.relpath(mark.name)}, line {mark.line + 1}: " if mark and Path(mark.name).exists() else ""
    return f"{where}not understood as YAML: {error.problem}"


def _not_understood(word):
    key, equals, value = word.partition("=")
    if not equals:
        return f"{word}: no key; give key=value, such as query={word}"
    if odd := [*dict.fromkeys(re.sub(PLAIN, "", value, flags=re.ASCII))]:
        quoted = value.replace('"', '\\"')
        example = shlex.quote(f'{key}="{quoted}"')
        return f"{word}: not understood; values with {' '.join(odd)} in them must be quoted twice, such as {example}"
    return f"{word}: not understood; give key=value"


def _of_composing(error, configs, arguments):
    """None for what is not foreseen here."""
    if found := re.search(r"Ambiguous value for argument '(.*)'", str(error)):
        key, value = _parts(found[1])
        text = shlex.quote(f'{key}="{value}"')
        return f"{found[1]}: several values; -m sweeps over them, {key}=[{value}] gives a list, {text} one text"
    if found := re.search(r"An item is already at '(.*)'", str(error)):
        return f"+{found[1]}: there is such a key; give {found[1]}=... without +"
    file = re.match(r"In '([^'/]+)/([^']+)': ", str(error))
    prefix = f"{file[1]}={file[2]}: " if file else ""
    if group := re.search(r"Could not override '([^']+)'\.\s*(?:No match in the defaults|Did you mean)", str(error)):
        return f"{prefix}{group[1]}: no such group; {choices(group[1], _groups(configs))}"
    cause = error.__cause__ or error.__context__ or error
    key = getattr(cause, "full_key", None)
    if file and key == file[1]:
        return f"{prefix}must hold keys, and begin with the line # @package _global_"
    if re.search(r"Key '.*' (is )?not in ", str(cause)):
        return prefix + _no_such_key(key, cause.parent_node, configs)
    if isinstance(cause, ValidationError):
        return prefix + _wrong_type(key, str(cause), arguments)
    if word := re.match("Error merging override (.*)", str(error)):
        return f"{word[1]}: {_first_line(cause)}"
    return None


def _no_such_key(key, parent, configs):
    """`parent` is the node of the configuration in which there is no such `key`."""
    if owners := _owners(configs, key):
        return f"{key}: the chosen option of {key.partition('.')[0]} has no such key, only {', '.join(owners)}"
    group, _, _ = key.rpartition(".")
    names = [name for name in parent if not name.startswith("_")] if isinstance(parent, DictConfig) else []
    names = sorted(f"{group}.{name}" if group else name for name in names if name != "hydra")
    return f"{key}: no such key" + (f"; {choices(key, names)}" if names else f"; {group} has none" if group else "")


def _wrong_type(key, text, arguments):
    given = [value for name, value in map(_parts, arguments) if name == key]
    value = re.search(r"Value '([^']*)'", text)
    value = given[-1] if given and "," not in given[-1] else value[1] if value else "null"
    if "not Optional" in text:
        return f"{key}={value}: must have a value"
    return f"{key}={value}: must be {next((what for sign, what in NEEDED.items() if sign in text), 'of its type')}"


def _parts(word):
    """Key and value of an argument."""
    key, _, value = word.partition("=")
    return key.lstrip("+"), value


def _groups(configs):
    return sorted(folder.name for folder in configs.iterdir() if folder.is_dir())


def _options(configs, group):
    return sorted(file.stem for file in (configs / group).glob("*.yaml"))


def _owners(configs, key):
    """The options of a group that have a dotted `key`."""
    group, _, inner = key.partition(".")
    *parents, name = inner.split(".")
    found = []
    for file in sorted((configs / group).glob("*.yaml")) if inner and group != "experiment" else []:
        node = OmegaConf.load(file)
        node = OmegaConf.select(node, ".".join(parents)) if parents else node
        if isinstance(node, DictConfig) and name in node.keys():
            found.append(f"{group}={file.stem}")
    return found
