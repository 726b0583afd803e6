"""Hydra's, OmegaConf's and YAML's errors in one line: the key, the value and what would be accepted."""

import os
import re
import shlex
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError
from yaml import MarkedYAMLError, YAMLError, safe_load

from equidiff_cli.checks import choices
from equidiff_cli.errors import WrongRequest

PLAIN = r"[\w /\-\\+.$%*@?|:]"  # what Hydra takes in a value that is not quoted, letters without accents only
NEEDED = {  # what OmegaConf says of a value of the wrong type, and what is accepted
    "not Optional": "have a value",
    "to Integer": "be a whole number",
    "to Float": "be a number",
    "not a valid bool": "be true or false",
    "not a ListConfig": "be a list such as [1,2]",
    "to string": "be text",
}


@contextmanager
def explained(configs, arguments):
    """Turn whatever keeps a configuration from being composed into a `WrongRequest` of one line."""
    try:
        yield
    except WrongRequest:
        raise
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise WrongRequest(explain(error, configs, arguments)) from error
    except OSError as error:
        if error.errno:  # of a directory, not of a configuration
            raise
        raise WrongRequest(explain(error, configs, arguments)) from error


def explain(error, configs, arguments=()):
    """One line for any error of composing a configuration.

    Args:
        configs: the folder of the configurations.
        arguments: the words of the command line, in which a value is found that the error does not tell.
    """
    if isinstance(error, MarkedYAMLError):
        return _not_yaml(error)
    for word in arguments:
        if word.lstrip("+~").startswith("=") or word in ("~", "+", "++"):
            return f"{word}: no key; give key=value"
    if isinstance(error, OverrideParseException):
        return _not_understood(error.override)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option}: {choices(option, error.options or _options(configs, group))}"
    if "Config group override must be" in str(error):  # a number or null where the name of an option belongs
        for group, _, values in (word.lstrip("+").partition("=") for word in arguments):
            for value in values.split(","):  # of a sweep
                if (configs / group).is_dir() and not isinstance(safe_load(value), str):
                    return f"{group}={value}: {choices(value, _options(configs, group))}"
    if isinstance(error, ConfigCompositionException):
        return _of_composing(str(error), error.__cause__ or error.__context__ or error, configs)
    return _first_line(error)


def _not_yaml(error):
    mark = error.problem_mark
    where = f"{os.path.relpath(mark.name)}, line {mark.line + 1}: " if mark and Path(mark.name).exists() else ""
    return f"{where}not understood as YAML: {error.problem}"


def _not_understood(word):
    key, equals, value = word.partition("=")
    if not equals:
        return f"{word}: no key; give key=value, such as query={word}"
    if function := re.fullmatch(r"(choice|range|interval|glob|sort|shuffle|tag)\(\s*(.*)\)", value):
        wrong = f"not understood as a {function[1]} of" if function[2] else "gives no"
        return f"{word}: {wrong} values; list them, such as -m {key}=a,b"
    if re.fullmatch(rf"{PLAIN}*(,{PLAIN}*)+", value) and not all(one.strip() for one in value.split(",")):
        return f"{word}: nothing stands beside a comma; -m sweeps over values, such as {key}=a,b"
    if odd := " ".join(dict.fromkeys(re.sub(PLAIN, "", value, flags=re.ASCII))):
        quoted = shlex.quote('{}="{}"'.format(key, value.replace('"', '\\"')))
        return f"{word}: not understood; values with {odd} in them must be quoted twice, such as {quoted}"
    return f"{word}: not understood; give key=value"


def _of_composing(text, cause, configs):
    """What is said for Hydra's `text` and what caused it."""
    if found := re.search(r"Ambiguous value for argument '(.*?)=(.*)'", text):
        key, value = found.groups()
        quoted = shlex.quote(f'{key}="{value}"')
        return f"{key}={value}: several values; -m sweeps over them, {key}=[{value}] gives a list, {quoted} one text"
    if found := re.search(r"An item is already at '(.*)'", text):
        return f"+{found[1]}: there is such a key; give {found[1]}=... without +"
    if found := re.search(r"^(\S+) appears more than once|^Multiple values for (\S+)\. ", text):
        group = found[1] or found[2]
        return f"+{group}: an option of {group} is chosen already; give {group}=... without +"
    if found := re.search(r"force-add of config groups is not supported: '\+\+(.*)'", text):
        return f"++{found[1]}: is an option of a group; give {found[1]} without ++"
    if found := re.search(r"Could not delete(?: from config\.)? '(.*?)'(?: does not exist)?\.", text):
        return f"~{found[1]}: there is nothing of that name to take out"
    file = re.match(r"In '([^'/]+)/([^']+)': ", text)
    prefix = f"{file[1]}={file[2]}: " if file else ""
    key = getattr(cause, "full_key", None)
    if not key and (group := re.search(r"Could not override '([^']+)'", text)):
        groups = sorted(folder.name for folder in configs.iterdir() if folder.is_dir())
        return f"{prefix}{group[1]}: no such group; {choices(group[1], groups)}"
    if file and key == file[1]:
        return f"{prefix}must hold keys, and begin with the line # @package _global_"
    if isinstance(cause, (ConfigAttributeError, ConfigKeyError)):
        return prefix + _no_such_key(key, cause.parent_node, configs)
    if isinstance(cause, ValidationError):
        if cause.value == {}:  # +key.below=...
            return f"{prefix}{key}: is a value and has no keys; give {key}=..."
        value = {"None": "null", "True": "true", "False": "false"}.get(str(cause.value), cause.value)  # as in YAML
        needed = next((what for sign, what in NEEDED.items() if sign in str(cause)), "be of its type")
        return f"{prefix}{key}={value}: must {needed}"
    return prefix + _first_line(cause)


def _first_line(error):
    key = getattr(error, "full_key", None)  # of OmegaConf's errors, such as those of ${...}
    return (f"{key}: " if key else "") + str(error).partition("\n")[0]


def _no_such_key(key, parent, configs):
    """`parent` is the node of the configuration in which there is no such `key`."""
    if owners := _owners(configs, key):
        return f"{key}: the chosen option of {key.partition('.')[0]} has no such key, only {', '.join(owners)}"
    group, _, _ = key.rpartition(".")
    names = [name for name in parent if not name.startswith("_")] if isinstance(parent, DictConfig) else []
    names = sorted(f"{group}.{name}" if group else name for name in names if name != "hydra")
    return f"{key}: no such key" + (f"; {choices(key, names)}" if names else f"; {group} has none" if group else "")


def _options(configs, group):
    return sorted(file.stem for file in (configs / group).glob("*.yaml"))


def _owners(configs, key):
    """The options of a group that have a dotted `key`."""
    group, _, inner = key.partition(".")
    found = []
    for option in _options(configs, group) if inner and group != "experiment" else []:
        node = OmegaConf.to_container(OmegaConf.load(configs / group / f"{option}.yaml"))
        with suppress(KeyError, TypeError):  # there is no such name, or nothing below it
            for name in inner.split("."):
                node = node[name]
            found.append(f"{group}={option}")
    return found
