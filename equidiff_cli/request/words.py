"""The words of a command line: options before overrides, and which of them name runs."""

from pathlib import Path

WITH_VALUE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--cfg", "-c", "--package", "-p")


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
