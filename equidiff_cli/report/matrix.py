"""Sweeps as matrices of pictures: a row a run and a column a sample, or a row and a column for each of two settings."""

from dataclasses import dataclass

from equidiff_cli.report.labels import QUERY, asking, differing, texts, value
from equidiff_cli.report.pictures import Picture, embed
from equidiff_cli.report.words import given, median_error, number

MOST_RUNS, MOST_SAMPLES = 32, 8
MOST_LINES = 5  # of settings beside a row
MOST_BYTES = 1_000_000  # of the pictures of a matrix
SIDE = 96  # pixels at which a large picture is shown


@dataclass(frozen=True)
class Head:
    """What a row or a column is: `link` leads to its run or is "", `lines` are its settings."""

    link: str
    lines: list
    query: Picture | None = None


@dataclass(frozen=True)
class Cell:
    """A picture with its `alt` text, and what stands below."""

    picture: Picture | None
    alt: str
    link: str = ""
    words: str = ""


@dataclass(frozen=True)
class Matrix:
    """`columns` and the first of each of `rows` are `Head`s; `corner` is what all runs share, a `Picture` or None."""

    title: str
    about: str
    corner: Picture | None
    columns: list
    rows: list


def by_sample(runs, links):
    """The `Matrix` of the first samples of each run; None if there are fewer than two runs with pictures."""
    drawn = [i for i, run in enumerate(runs) if run.pictured and run.rows]
    if len(drawn) < 2:
        return None
    shown = drawn[:MOST_RUNS]
    columns = sorted({record["index"] for i in shown for record in runs[i].rows})[:MOST_SAMPLES]
    keys, budget = asking(differing(runs)), MOST_BYTES // (len(shown) * (len(columns) + 1))
    words = {key: texts(runs, key) for key in keys}
    rows = []
    for i in shown:
        run, records = runs[i], {record["index"]: record for record in runs[i].rows}
        lines = [f"{key.removesuffix('._target_')}={words[key][i]}" for key in keys if words[key][i]]
        lines = [line for line in lines if not line.endswith("=null")] if len(lines) > MOST_LINES else lines
        lines = [*lines[:MOST_LINES], *(["…"] if len(lines) > MOST_LINES else [])]  # the table below has them all
        query = _picture(run.query_file, budget) if QUERY in keys and given(run) != "none" else None
        cells = [_sample(run, records.get(index), budget) for index in columns]
        rows.append((Head(links.get(i, ""), [*lines, f"run {run.name}"], query), cells))
    same = _same_noise([runs[i] for i in shown], columns)
    about = "A row is a run, a column a sample. " + (
        "Samples of one column began with the same noise." if same else "The runs began with noises of their own."
    )
    if left := len(drawn) - len(shown):
        about += f" {left} more runs are left out."
    if any(len(runs[i].rows) > len(columns) for i in shown):
        about += f" The first {len(columns)} samples of each run."
    corner = None if QUERY in keys else _picture(runs[shown[0]].query_file, budget)
    heads = [Head("", [f"sample {index}"]) for index in columns]
    return Matrix("Pictures of every run", about, corner, heads, rows)


def by_settings(runs, links):
    """The `Matrix` of two settings that differ, a cell a run with its first sample and its median error; None for
    another number of settings, and where few of their combinations were run."""
    keys = asking(differing(runs))
    if len(keys) != 2:
        return None
    places = {}
    words = [texts(runs, key) for key in keys]
    for i, pair in enumerate(zip(*words, strict=True)):
        places.setdefault(pair, []).append(i)
    down, across = (_ordered(runs, key, column) for key, column in zip(keys, words, strict=True))
    if any(len(found) > 1 for found in places.values()) or len(places) <= max(len(down), len(across)):
        return None
    if len(places) > MOST_RUNS * MOST_SAMPLES:
        return None
    budget = MOST_BYTES // len(places)

    def head(key, text, i):
        query = _picture(runs[i].query_file, budget) if key == QUERY and runs[i].pictured else None
        return Head("", [f"{key.removesuffix('._target_')}={text}"], query)

    def cell(pair):
        if pair not in places:
            return Cell(None, "not run")
        (i,) = places[pair]
        run, (middle, unit) = runs[i], median_error(runs[i])
        done = f"{run.counts['converged']} of {len(run.rows)} converged"
        sample = _sample(run, run.rows[0] if run.rows else None, budget)
        return Cell(sample.picture, sample.alt, links.get(i, ""), f"{done}, error {number(middle)} {unit}".strip())

    columns = [head(keys[1], text, i) for text, i in across.items()]
    rows = [(head(keys[0], text, i), [cell((text, other)) for other in across]) for text, i in down.items()]
    about = "The first sample of each run, how many converged, and their median error on the saved pictures."
    return Matrix(f"{keys[0]} by {keys[1]}".replace("._target_", ""), about, None, columns, rows)


def _ordered(runs, key, column):
    """The different texts of a column, each with the first run that has it: numbers in order, words as they came."""
    first = {}
    for i, text in enumerate(column):
        first.setdefault(text, i)
    values = {text: value(runs[i], key) for text, i in first.items()}
    if all(isinstance(v, (int, float)) for v in values.values()):
        return dict(sorted(first.items(), key=lambda item: values[item[0]]))
    return first


def _sample(run, record, budget):
    if record is None:
        return Cell(None, "no such sample")
    alt = f"sample {record['index']} of run {run.name}"
    if not run.pictured or record["file"] in run.missing:
        return Cell(None, f"{alt}: {run.missing.get(record['file'], 'not a picture')}")
    return Cell(_picture(run.file(record), budget), alt)


def _picture(file, budget):
    return embed(file, limit=SIDE, most_bytes=budget)


def _same_noise(runs, indices):
    """Whether samples of one index have the same seed, and noise of the same size, in all runs."""
    seeds = [{record["index"]: record.get("seed") for record in run.rows} for run in runs]
    known = [{found[index] for found in seeds if index in found} for index in indices]
    sizes = {run.dimensions for run in runs}
    return len(sizes) == 1 and None not in sizes and all(len(found) == 1 for found in known)
