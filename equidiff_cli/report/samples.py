"""The samples of a run as cards and as rows of a table: what stands under each picture and what one can sort by."""

from dataclasses import dataclass

from equidiff_cli.report.asked import ordered
from equidiff_cli.report.found import disagreement, said
from equidiff_cli.report.pictures import Picture, embed
from equidiff_cli.report.words import aimed, endless, number
from equidiff_cli.runs.reader import error, typicality

MARKS = {"converged": "●", "budget": "◐", "nonfinite": "✕"}
SHOWN_ELSEWHERE = (
    "status",
    "error_spreads",
    "typicality",
    "disagreement",
    "on_file",
)  # keys of an evaluation that have a column already


@dataclass(frozen=True)
class Column:
    """A number (or word) that every sample may have; `key` names it on the page."""

    key: str
    title: str
    about: str = ""


@dataclass(frozen=True)
class Sample:
    """One sample as the page shows it; `values` by column key, `words` the same as text.

    `measured` is the error in words, or the value where nothing is to be reached; `unguided` is the picture that its
    starting noise gives before anything is optimised, `seen` what networks see.
    """

    index: int
    status: str
    mark: str
    file: str
    measured: str
    on_file: bool | None
    seen: str
    picture: Picture | None
    unguided: Picture | None
    why: str
    values: dict
    words: dict


def columns(run):
    """The columns of a run's table of samples."""
    unit = next((unit for _, unit in (error(run, record) for record in run.rows) if unit), "")
    found = [
        Column("index", "index"),
        Column("status", "status"),
        Column("error", f"error ({unit})", "distance of the saved picture’s objective to what was asked for"),
        Column("steps", "steps", "evaluations of the loss"),
        Column("loss", "loss", "lowest loss, on the picture before it was rounded to 8 bits"),
        Column("typicality", "|z|² / d", "squared norm of the starting noise by its dimensions, 1 is typical"),
        Column("seconds", "seconds", "wall time in work, shared with the samples of its batch"),
        Column("seed", "seed", "seed of its starting noise"),
    ]
    if not run.pictured:
        found.insert(1, Column("point", "coordinates", "the sample itself, as its file holds it"))
    if endless(run):
        found.insert(2, Column("objective_saved", "value", "the objective of the saved picture"))
        found = [column for column in found if aimed(run) or column.key != "error"]
    if any(record.get("on_file") is not None for record in run.rows):
        found.insert(
            2, Column("on_file", "on file", "whether the loss of the saved picture, too, is below the threshold")
        )
    if ordered(run):  # first, for the list of what one can sort by begins with it
        found.insert(0, Column("distance", "distance", "root mean square of the change of pixels from the query"))
    elif any(record.get("distance") is not None for record in run.rows):
        found.append(Column("distance", "distance", "root mean square of the change of pixels from the query"))
    if any(record.get("penalty") is not None for record in run.rows):
        found.append(Column("penalty", "penalty", "of what was asked besides the value; no part of the loss"))
    if any(disagreement(record) is not None for record in run.rows):
        found.append(Column("disagreement", "disagreement", _about_disagreement(run)))
    for key, entry in (run.evaluation or {}).get("columns", {}).items():
        if key not in SHOWN_ELSEWHERE:
            unit = f" ({entry['unit']})" if entry.get("unit") else ""
            found.append(Column(f"evaluated-{key}", entry.get("title", key) + unit, entry.get("about", "")))
    return found


def _about_disagreement(run):
    own = "the highest probability that another network gives to another class than the target’s, 0 where all agree"
    return (run.evaluation or {}).get("columns", {}).get("disagreement", {}).get("about") or own


def samples(run, shown, most, budget):
    """(the first `most` samples with their pictures, all samples without); `budget` is passed to `pictures.embed`."""
    rows = sorted(run.rows, key=lambda record: record["distance"]) if ordered(run) else run.rows
    all_of_them = [_sample(run, record, shown) for record in rows]
    quarter = {"limit": budget["limit"] // 2, "most_bytes": budget["most_bytes"] // 4}
    cards = []
    for record in rows[:most] if run.pictured else []:
        why = run.missing.get(record["file"], "")
        picture = None if why else embed(run.file(record), **budget)
        if picture is None and not why:
            why = "cannot be read"
        unguided = embed(run.unguided_file(record), **quarter)
        cards.append(_sample(run, record, shown, picture, unguided, why))
    return cards, all_of_them


def _sample(run, record, shown, picture=None, unguided=None, why=""):
    values = {column.key: _value(run, record, column.key) for column in shown}
    values.setdefault("error", None)
    status = str(record.get("status", "unknown"))
    return Sample(
        index=record["index"],
        status=status,
        mark=MARKS.get(status, "?"),
        file=str(record.get("file") or ""),
        measured=_measured(run, record, values["error"]),
        on_file=record.get("on_file"),
        seen=said(record.get("seen")),
        picture=picture,
        unguided=unguided,
        why=why,
        values=values,
        words={key: str(value) if key == "seed" else number(value) for key, value in values.items()},
    )


def _measured(run, record, error):
    """What stands under a picture: how far it is off, and the value where that has no goal."""
    value = [f"value {number(record.get('objective_saved'))}"] if endless(run) else []
    return "; ".join(value + ([f"error {number(error)}"] if aimed(run) else []))


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
    if key == "disagreement":
        return disagreement(record)
    if key == "on_file":
        return {True: "yes", False: "no"}.get(record.get(key))
    return record.get(key.removeprefix("evaluated-"))
