"""The help page, from the first comment of every configuration file and the comment of every top-level key."""

import re
import textwrap
from pathlib import Path


def usage(commands):
    """What `equidiff` says without a command."""
    lines = ["usage: equidiff <command> [key=value ...]", "", "commands:"]
    lines += [f"  {name:<10} {text}" for name, text in commands.items()]
    lines += ["", "equidiff <command> --help lists groups, options and keys; equidiff --version says which this is."]
    return "\n".join(lines)


def word_on(file):
    """The first line of a configuration file that is a comment for people: what it is."""
    lines = Path(file).read_text().splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("# ") and "@package" not in line), "")


def command_help(command, configs, words="[group=option]"):
    """Groups with their options, then the top-level keys of `configs/<command>.yaml`, each with a word.

    Args:
        words: what the command takes besides keys.
    """
    text = (configs / f"{command}.yaml").read_text()
    lines = [f"equidiff {command} {words} [key=value ...]: {word_on(configs / f'{command}.yaml')}", ""]
    for group, chosen in groups(text).items():
        lines.append(f"{group}=")
        for file in sorted((configs / group).glob("*.yaml")):
            mark = "*" if file.stem == chosen else " "
            lines.append(f"  {mark} {file.stem:<14} {word_on(file)}")
            prefix = "sets " if group == "experiment" else f"{group}."  # whose keys are those of the top level
            lines += aligned(8, [(f"{prefix}{key}={value}", word) for key, value, word in keys(file.read_text())])
    lines += [*([""] if groups(text) else []), "keys:"]
    lines += aligned(4, [(f"{key}={value}", word) for key, value, word in keys(text)])
    lines += ["", textwrap.dedent(ENDING if groups(text) else OF_VALUES).strip()]
    lines += ["", textwrap.dedent(OF_RUNS).strip()] if command == "run" else []
    return "\n".join(lines)


def aligned(indent, pairs):
    """A line a pair of texts; the second ones begin in one column, but for a first one that is long."""
    width = max((len(first) for first, _ in pairs if len(first) <= WIDEST), default=0)
    return [f"{' ' * indent}{first:<{width}}  {second}" for first, second in pairs]


def groups(text):
    """group -> the option chosen, in the order of the defaults list of a YAML text."""
    return dict(re.findall(r"^  - (\w+): (\w+)$", text, flags=re.M))


def keys(text):
    """(key, default, word) of every commented top-level key of a YAML text that people set."""
    return [it for it in re.findall(r"^(\w+): (\S+)\s+# (.*)$", text, flags=re.M) if not it[0].startswith("_")]


WIDEST = 32  # letters of a key with its default, to which others are aligned
OF_VALUES = """
    Values with = , ( é or other signs than - _ . : / + are quoted twice, as in 'output="a=b.html"'.
"""
ENDING = """
    * the default. equidiff run -m key=a,b,c sweeps over values. Values with = , ( é or other signs than - _ . : / + are
    quoted twice: equidiff run 'query="a=b.png"'. Completion for bash: eval "$(equidiff -sc install=bash)".
"""
OF_RUNS = """
    hydra.run.dir=DIR      where a run goes; with the directory of a stopped run it goes on
    hydra.sweep.dir=DIR    the same of a sweep; hydra.sweep.subdir=NAME names the folder of each of its runs
    --config-dir DIR       a folder with options of your own, such as DIR/filter/mine.yaml for filter=mine
    GROUP._target_=a.b     a class or function b of your own, in a.py: see docs/how-to-extend.md
    --cfg job              shows the configuration instead of running it
"""
