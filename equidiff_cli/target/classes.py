"""From what a person wrote to a class: the names of a network's classes, and the index that a label means."""

import csv
import io
import json
import re
from collections.abc import KeysView, Mapping, Sequence, ValuesView
from pathlib import Path

from equidiff_cli.checks import choices, number

KINDS = "a list of names, or a map between names and all indices from 0 on"
FILES = ".txt (a name a line), .json (a list or a map) or .csv (names, or names and indices)"


def class_names(key, classes):
    """The name of each class, by index: a tuple of texts.

    Args:
        key: for errors, `ValueError` "key=value: what is accepted".
        classes: a list of names (whole numbers count as their digits, several names of one class may be a list), or a
            map from index to name or from name to index.
    """
    if hasattr(classes, "tolist"):  # of numpy, of torch
        classes = classes.tolist()
    if isinstance(classes, Mapping):
        return _of_map(key, list(classes.items()))
    if isinstance(classes, (Sequence, KeysView, ValuesView)) and not isinstance(classes, (str, bytes)):
        return tuple(_name(key, name) for name in classes)
    given = key if "=" in key else f"{key}={classes}"
    raise ValueError(f"{given}: must be {KINDS}, is {_article(type(classes).__name__)}")


def read_names(key, path):
    """The same, of a file: one of `FILES`; `ValueError` for what is none."""
    path = Path(path)
    if path.suffix.lower() not in (".txt", ".json", ".csv"):
        raise ValueError(f"{key}={path}: must be {KINDS}, or a file of them: {FILES}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{key}={path}: cannot be opened ({error.strerror}); give {FILES}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{key}={path}: is no text in UTF-8; give {FILES}") from None
    key = f"{key}={path}"
    if path.suffix.lower() == ".json":
        try:
            return class_names(key, json.loads(text, object_pairs_hook=lambda pairs: _once(key, pairs)))
        except json.JSONDecodeError as error:
            raise ValueError(f"{key}: is no JSON ({error})") from None
    lines = text.rstrip().splitlines()
    if path.suffix.lower() == ".csv":
        return _of_rows(key, [row for row in csv.reader(io.StringIO(text)) if any(row)])
    numbered = [re.fullmatch(r"\s*(\d+)\s*[:,\t ]\s*(\S.*)", line) for line in lines]
    if lines and all(numbered) and sorted(int(match[1]) for match in numbered) == list(range(len(lines))):
        return _of_map(key, [(int(match[1]), match[2]) for match in numbered])
    return class_names(key, lines)


def index_of(key, label, classes, network):
    """The index of the class that `label` means: an index, or a name (case, hyphens and underscores do not matter).

    Digits may be either; where both readings are possible and differ, "index:7" or "name:7" says which is meant.
    Raises `ValueError` naming `key` and the nearest names if there is no such class, or more than one.
    """
    if isinstance(label, (Mapping, Sequence)) and not isinstance(label, str):
        raise ValueError(f"{key}={label}: must be one class, by its index or its name")
    text = str(label)
    named = _named(text, classes)
    way, _, rest = text.partition(":")
    if not named and way in ("index", "name") and rest:
        if way == "index":
            return _index(key, rest.strip(), classes)
        named, text = _named(rest, classes), rest
    elif _is_index(label):
        number_of = int(label)
        if not named or named == [number_of]:
            return number(key, number_of, minimum=0, maximum=len(classes) - 1, whole=True)
        if 0 <= number_of < len(classes):
            which = ", ".join(f"class {i}" for i in named)
            raise ValueError(
                f"{key}={label}: is ambiguous, the index of {classes[number_of]} and the name of {which}; use"
                f" {key}=index:{label} or {key}=name:{label}"
            )
    if len(named) == 1:
        return named[0]
    if named:
        which = "; ".join(f"{i} ({classes[i]})" for i in named)
        raise ValueError(f"{key}={label}: the name is ambiguous, use the index of one of {which}")
    if all(name == str(i) for i, name in enumerate(classes)):
        owner = "prior" if key.startswith("prior.") else "target"
        raise ValueError(
            f"{key}={label}: the classes of {network} have no names; use an index from 0 to {len(classes) - 1}, or"
            f" {owner}.classes=FILE where the {owner} takes it"
        )
    names = [name for group in classes for name in group.split(", ")]
    near = [name for name in names if plain(text) in plain(name)][:6]
    raise ValueError(f"{key}={label}: {network} has no such class; {choices(text, near or names)}")


def numbered(count):
    """The names of classes without any: their indices."""
    return tuple(str(i) for i in range(count))


def _of_map(key, pairs):
    """Names by index of pairs (index, name) or (name, index): one side has every index from 0 on once."""
    sides = [[_whole(one) for one in side] for side in zip(*pairs, strict=True)] or [[], []]
    whole = [None not in side and sorted(side) == list(range(len(pairs))) for side in sides]
    if all(whole) and sides[0] != sides[1]:
        raise ValueError(
            f"{key}: is ambiguous: both sides of the map are the indices from 0 to {len(pairs) - 1}, so"
            f" {pairs[0][0]}: {pairs[0][1]} may be index: name or name: index; give a list of names"
        )
    if whole[0]:
        by_index = dict(zip(sides[0], (name for _, name in pairs), strict=True))
    elif whole[1]:
        by_index = dict(zip(sides[1], (name for name, _ in pairs), strict=True))
    else:
        raise ValueError(f"{key}: {_hole(sides)}; must be {KINDS}")
    return tuple(_name(key, by_index[i]) for i in range(len(pairs)))


def _hole(sides):
    """What keeps a map from being one between names and all indices."""
    side = max(sides, key=lambda side: sum(one is not None for one in side))
    given = [one for one in side if one is not None]
    if len(given) < len(side) or not given:
        return "the map has no index for every name"
    twice = next((i for i in sorted(given) if given.count(i) > 1), None)
    if twice is not None:
        return f"the map has index {twice} twice"
    lacking = next(i for i in range(len(given)) if i not in set(given))
    return f"the map has {len(given)} classes with indices up to {max(given)}, but not {lacking}"


def _of_rows(key, rows):
    """Names of the rows of a table with one column of names, or one of names and one of indices, with or without words
    above them."""
    widths = {len(row) for row in rows}
    if widths == {1}:
        above = len(rows) > 1 and rows[0][0].strip().lower() in ("name", "names", "class", "classes", "label", "labels")
        return class_names(key, [row[0] for row in rows[above:]])
    if widths != {2}:
        raise ValueError(f"{key}: must have one column, of names, or two, of names and indices")
    above = len(rows) > 1 and all(_whole(cell) is None for cell in rows[0])
    return _of_map(key, _once(key, rows[above:], as_dict=False))


def _once(key, pairs, as_dict=True):
    """`pairs` as a dict or as they are; `ValueError` where the first of one comes again."""
    seen = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"{key}: has {name} twice")
        seen.add(name)
    return dict(pairs) if as_dict else pairs


def _name(key, name):
    if isinstance(name, (list, tuple)) and name and all(isinstance(one, str) for one in name):
        name = ", ".join(name)
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str):
        raise ValueError(f"{key}: {name} is no name of a class; names are texts, quoted where they look like no text")
    if not name.strip():
        raise ValueError(f"{key}: an empty name; every class needs one")
    return name.strip()


def _whole(value):
    """A whole number, or the digits of one, as a number; None for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return int(value) if re.fullmatch(r"\s*[0-9]+\s*", str(value)) else None


def _is_index(label):
    return (isinstance(label, int) and not isinstance(label, bool)) or str(label).isdecimal()


def _index(key, text, classes):
    value = int(text) if text.isdecimal() else text
    return number(key, value, minimum=0, maximum=len(classes) - 1, whole=True)


def _named(text, classes):
    """The indices of the classes of that name."""
    wanted = plain(text)
    return [i for i, names in enumerate(classes) if wanted in map(plain, [names, *names.split(", ")])]


def plain(name):
    return str(name).strip().lower().replace("_", " ").replace("-", " ")


def _article(kind):
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
