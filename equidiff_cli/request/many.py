"""Many queries: a folder, a glob or a list of pictures becomes one run a picture, one after another in one process."""

import csv
import datetime
import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from equidiff_cli.errors import WrongRequest
from equidiff_cli.pictures.read import NOTHING
from equidiff_cli.request.asking import word
from equidiff_cli.shipped import QUERIES

TABLE = (
    "queries.csv"  # beside the pictures: `file`, and a column for each key that pictures have values of their own for
)
SUFFIXES = ["png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "ppm", "avif", "jp2", "heic", "heif"]
PLACES = ("hydra.run.dir", "hydra.sweep.dir")


@dataclass(frozen=True)
class Many:
    """The runs of many queries.

    Args:
        parent: the directory above theirs.
        runs: (picture, name of its directory, words of its run) of each.
    """

    parent: Path
    runs: list


def many(words):
    """`Many` for the words of `equidiff run`; None where they name one query, or one that Hydra has more to say of.

    `WrongRequest` for a folder or a glob without pictures, and for a table beside them that does not fit them.
    """
    given = next((one for one in reversed(words) if one.startswith("query=")), None)
    pictures = given and pictures_of(given)
    if not pictures:
        return None
    parent = place(words)
    rest = [one for one in words if one != given and not one.startswith(tuple(f"{key}=" for key in PLACES))]
    more, names = of_table(pictures), named(pictures)
    sweep = any(one in ("-m", "--multirun") for one in words)
    return Many(
        parent,
        [
            (
                picture,
                name,
                [*rest, f"query={quoted(picture)}", *more.get(picture, ()), directory(parent / name, sweep)],
            )
            for picture, name in zip(pictures, names, strict=True)
        ],
    )


def pictures_of(given):
    """The pictures that `query=...` stands for; None where it is one query."""
    try:
        override = OverridesParser.create().parse_override(given)
    except HydraException:
        return None
    if override.is_sweep_override():
        return None
    value = override.value()
    if isinstance(value, list):
        if not value or not all(isinstance(one, str) for one in value):
            raise WrongRequest(f"{given}: must be a list of pictures, such as query=[a.png,b.png]")
        return [str(one) for one in value]
    path = os.path.expanduser(str(value))
    if path == NOTHING:  # a folder of that name is ./none, as a file is
        return None
    if os.path.isfile(path) or (QUERIES / f"{value}.png").is_file():
        return None
    if os.path.isdir(path):
        found = [str(file) for file in Path(path).iterdir() if file.is_file()]
    elif glob.has_magic(path):
        found = [file for file in glob.glob(path, recursive=True) if os.path.isfile(file)]
    else:
        return None
    found = [
        file for file in found if Path(file).suffix.lower()[1:] in SUFFIXES and not Path(file).name.startswith(".")
    ]
    if not found:
        where = "has no picture in it" if os.path.isdir(path) else "matches no picture"
        raise WrongRequest(f"{given}: {where}; names that end in {', '.join(SUFFIXES)} are taken")
    return sorted(found)


def of_table(pictures):
    """The words of each picture that the table beside it says."""
    found = {}
    for folder in dict.fromkeys(Path(picture).parent for picture in pictures):
        file = folder / TABLE
        if not file.is_file():
            continue
        with open(file, newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened)
            if "file" not in (reader.fieldnames or ()):
                raise WrongRequest(f"{file}: has no column file; its other columns are keys, such as objective.label")
            for row in reader:
                picture = str(folder / row.pop("file"))
                if picture not in pictures:
                    raise WrongRequest(f"{file}: names {picture}, which is none of the pictures that query stands for")
                if None in row or None in row.values():
                    raise WrongRequest(f"{file}: the line of {picture} has another number of columns than the first")
                found[picture] = [f"{key}={word(value)}" for key, value in row.items() if value != ""]
    return found


def named(pictures):
    """The name of each picture's directory: that of its file, without suffix where that tells all apart."""
    stems = [re.sub(r"[^\w.-]+", "_", Path(picture).stem) for picture in pictures]
    names = [re.sub(r"[^\w.-]+", "_", Path(picture).name) for picture in pictures]
    if len(set(stems)) == len(stems):
        return stems
    return names if len(set(names)) == len(names) else [f"{i}-{name}" for i, name in enumerate(names)]


def place(words):
    """The directory above the runs: as given, or a new one by the time."""
    for one in reversed(words):
        key, _, value = one.partition("=")
        if key in PLACES:
            return Path(value)
    return Path("outputs", *datetime.datetime.now().strftime("%Y-%m-%d %H-%M-%S-%f").split())


def directory(path, sweep):
    return f"{PLACES[sweep]}={quoted(str(path))}"


def quoted(text):
    """A text as a quoted value of Hydra's grammar."""
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', text)
    return f'"{escaped}"'
