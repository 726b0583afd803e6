"""The samples of a run as cards and as rows of a table: what stands under each picture and what one can sort by."""

from dataclasses import dataclass

from equidiff_cli.report.pictures import Picture, embed
from equidiff_cli.report.words import number
from equidiff_cli.runs.reader import error, typicality

MARKS = {"converged": "●", "budget": "◐", "nonfinite": "✕"}
SHOWN_ELSEWHERE = ("status", "error_spreads", "typicality")  # keys of an evaluation that have a column already


@dataclass(frozen=True)
class Column:
    """A number (or word) that every sample may have; `key` names it on the page."""

    key: str
    title: str
    about: str = ""


@dataclass(frozen=True)
class Sample:
    """One sample as the page shows it; `values` by column key, `words` the same as text."""

    index: int
    status: str
    mark: str
    file: str
    error: str
    picture: Picture | None
    why: str
    values: dict
    words: dict


def columns(run):
    """The columns of a run's table of samples."""
    unit = next((unit for _, unit in (error(run, record) for record in run.rows) if unit), "")
    found = [
        Column("index", "index"),
        Column("status", "status"),
        Column("error", f"error ({unit})", "distance of the saved picture’s objective to the query’s"),
        Column("steps", "steps", "evaluations of the loss"),
        Column("loss", "loss", "lowest loss, on the picture before it was rounded to 8 bits"),
        Column("typicality", "|z|² / d", "squared norm of the starting noise by its dimensions, 1 is typical"),
        Column("seconds", "seconds", "wall time in work, shared with the samples of its batch"),
        Column("seed", "seed", "seed of its starting noise"),
    ]
    if not run.pictured:
        found.insert(1, Column("point", "coordinates", "the sample itself, as its file holds it"))
    for key, entry in (run.evaluation or {}).get("columns", {}).items():
        if key not in SHOWN_ELSEWHERE:
            unit = f" ({entry['unit']})" if entry.get("unit") else ""
            found.append(Column(f"evaluated-{key}", entry.get("title", key) + unit, entry.get("about", "")))
    return found


def samples(run, shown, most, budget):
    """(the first `most` samples with their pictures, all samples without); `budget` is passed to `pictures.embed`."""
    all_of_them = [_sample(run, record, shown, None, "") for record in run.rows]
    cards = []
    for record in run.rows[:most] if run.pictured else []:
        why = run.missing.get(record["file"], "")
        picture = None if why else embed(run.file(record), **budget)
        if picture is None and not why:
            why = "cannot be read"
        cards.append(_sample(run, record, shown, picture, why))
    return cards, all_of_them


def _sample(run, record, shown, picture, why):
    values = {column.key: _value(run, record, column.key) for column in shown}
    status = str(record.get("status", "unknown"))
    return Sample(
        index=record["index"],
        status=status,
        mark=MARKS.get(status, "?"),
        file=str(record.get("file") or ""),
        error=number(values["error"]),
        picture=picture,
        why=why,
        values=values,
        words={key: str(value) if key == "seed" else number(value) for key, value in values.items()},
    )


def _point(file):
    """The numbers in the file of a point, or None."""
    try:
        return [float(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return None


def _value(run, record, key):
    if key == "point":
        return _point(run.file(record))
    if key == "error":
        return error(run, record)[0]
    if key == "typicality":
        return typicality(run, record)
    return record.get(key.removeprefix("evaluated-"))
