"""The words of a command line: options before overrides, which options there are, and which words name runs."""

import re
from pathlib import Path

WITH_VALUE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--cfg", "-c", "--package", "-p")

SPELLED = {
    (command, "--all"): "all=true" for command in ("evaluate", "explain")
}  # options of ours, and what they stand for


ASKS = re.compile(r"\+*(cluster[.=]|shards=|experiment=)|--config-dir|-cd$")


def may_ask_a_cluster(words):
    """Whether a word of `equidiff run` may say that another machine or process is to do it."""
    return any(ASKS.match(word) for word in words)


def spelled(command, arguments):
    """The words of a command with its own options as the overrides that they stand for."""
    return [SPELLED.get((command, word), word) for word in arguments]


def flags_first(arguments):
    """Options before overrides, which is the only order that Hydra's parser takes."""
    flags, overrides, rest = [], [], list(arguments)
    while rest:
        word = rest.pop(0)
        (flags if word.startswith("-") else overrides).append(word)
        if word in WITH_VALUE and rest:
            flags.append(rest.pop(0))
        elif word in ("--info", "-i"):  # its value may be left out, and the next word is not it then
            flags.append("all" if not rest or rest[0].startswith("-") or "=" in rest[0] else rest.pop(0))
    return flags + overrides


def split(arguments):
    """(words that name runs, all other arguments).

    A run is named by every existing directory, and by every word without `=` that is no option and no option's value.
    """
    words, others, rest = [], [], list(arguments)
    while rest:
        word = rest.pop(0)
        if Path(word).is_dir() or not (word.startswith("-") or "=" in word):
            words.append(word)
            continue
        others.append(word)
        if word in WITH_VALUE and rest:
            others.append(rest.pop(0))
    return words, others


def unknown_flag(words, command):
    """What to say of the first option that Hydra does not have, or whose value is wrong; None if all are right."""
    from hydra._internal.utils import get_args_parser  # internal; a test pins what is used of it

    wrong, parser = [], get_args_parser()

    def refuse(message):
        wrong.append(message)
        raise ValueError(message)

    parser.error = refuse  # a line instead of a page
    try:
        unknown = [word for word in parser.parse_known_args(words)[1] if word.startswith("-")]
    except ValueError:
        if not wrong:
            raise
        return wrong[0].replace("argument ", "", 1)
    if unknown:
        return f"{unknown[0]}: no such option; values are given as key=value, {command} --help lists the keys"
    return None
