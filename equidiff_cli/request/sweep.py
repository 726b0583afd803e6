"""Sweeps that would run nothing, told before Hydra launches no job and calls that a success."""

from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra.errors import HydraException

from equidiff_cli.checks import choices
from equidiff_cli.request.schema import configs


def empty_sweep(words):
    """What to say of the first override that stands for no value at all; None if there is none."""
    parser, folders = OverridesParser.create(), option_folders(words)
    for word in words:
        try:
            override = parser.parse_override(word)
        except HydraException:  # an option such as -m, or what Hydra says more of
            continue
        key, value = override.key_or_group, override.value()
        if override.value_type == ValueType.INTERVAL_SWEEP:
            return f"{word}: an interval has no single values; give {key}=range(...) or {key}=choice(...)"
        if override.value_type == ValueType.GLOB_CHOICE_SWEEP and folders and not key.startswith("hydra/"):
            options = sorted({file.stem for folder in folders for file in (folder / key).glob("*.yaml")})
            if not options:
                return f"{word}: glob chooses among the options of a group, and {key} is none; {listed(key)}"
            if not value.filter(options):
                return f"{word}: matches no option; {choices(key, options)}"
        if override.value_type == ValueType.RANGE_SWEEP and (not value.step or not any(True for _ in value.range())):
            return f"{word}: gives no value, so nothing would run"
        if override.value_type in (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP) and not value.list:
            return f"{word}: gives no value, so nothing would run; {listed(key)}"
    return None


def listed(key):
    """How values of a key are listed."""
    if key == "query":
        return "list pictures, -m query=a.png,b.png, or all of a folder, -m query=$(ls -d FOLDER/*.png | paste -sd,)"
    return f"list values, -m {key}=a,b"


def option_folders(words):
    """Where options of groups lie: the shipped folder and those of --config-dir; [] where the words name more."""
    if any(word.lstrip("+").startswith("hydra.searchpath") for word in words):
        return []
    pairs = zip(words, [*words, ""][1:], strict=True)
    named = [after for word, after in pairs if word in ("--config-dir", "-cd")]
    named += [word.partition("=")[2] for word in words if word.startswith("--config-dir=")]
    return [configs(), *map(Path, named)]
