"""Tables of several runs: what differs between them and what came of each, and what their evaluations measured."""

from dataclasses import dataclass
from statistics import median

from equidiff_cli.report import labels, words

MOST_KEYS = 8  # columns of settings that differ


@dataclass(frozen=True)
class Cell:
    """`value` is what one sorts by, `text` what one reads, `null` the same number for unguided samples or ""."""

    value: object
    text: str
    null: str = ""


@dataclass(frozen=True)
class Table:
    """`columns` are (title, about); `rows` are (link or "", name, cells)."""

    columns: list
    rows: list


def outcomes(runs, keys, links):
    """The `Table` of `runs`, whose settings differ in `keys`; `links` lead to the sections of the first of them."""
    shown = keys[:MOST_KEYS]
    columns = [
        ("finished", "samples that are finished"),
        ("converged", "share of the finished samples whose loss fell below the threshold"),
        ("median error", "of the saved pictures"),
        ("median steps", "evaluations of the loss a sample"),
        ("seconds a success", "wall time of the run by its converged samples"),
        *((key.removesuffix("._target_"), "") for key in shown),
    ]
    texts = [labels.texts(runs, key) for key in shown]
    cells = [
        [
            *_results(run),
            *(_setting(labels.value(run, key), column[i]) for key, column in zip(shown, texts, strict=True)),
        ]
        for i, run in enumerate(runs)
    ]
    if any(_on_file(run) is not None for run in runs):
        columns.insert(2, ("on file", "share of the finished samples whose saved picture is below the threshold, too"))
        for run, row in zip(runs, cells, strict=True):
            row.insert(2, Cell(_on_file(run), "–" if _on_file(run) is None else f"{_on_file(run):.0%}"))
    return _table(columns, runs, links, cells)


def measured(runs, links):
    """The `Table` of every metric that at least one evaluation reports, each beside its null; None if there is none."""
    metrics = _metrics(runs)
    columns = [(_title(metric), metric.get("about", "")) for metric in metrics.values()]
    return _table(columns, runs, links, [list(_measured(run, metrics)) for run in runs]) if metrics else None


def _table(columns, runs, links, cells):
    return Table(columns, [(links.get(i, ""), run.name, cells[i]) for i, run in enumerate(runs)])


def _on_file(run):
    """The share of samples whose saved picture is below the threshold; None where it is not recorded."""
    known = [record["on_file"] for record in run.rows if record.get("on_file") is not None]
    return sum(known) / len(known) if known else None


def _setting(value, text):
    if value is None:
        return Cell(None, "–")
    return Cell(value if isinstance(value, (int, float)) and not isinstance(value, bool) else text, text)


def _results(run):
    done, converged = len(run.rows), run.counts["converged"]
    share = converged / done if done else None
    middle, unit = words.median_error(run)
    steps = median(record["steps"] for record in run.rows) if done else None
    cost = run.summary["wall_seconds"] / converged if converged and run.summary.get("wall_seconds") else None
    yield Cell(done, f"{done}" if run.finished else f"{done} of {run.wanted}")
    yield Cell(share, "–" if share is None else f"{share:.0%}")
    yield Cell(middle, f"{words.number(middle)} {unit}".strip())
    yield Cell(steps, "–" if steps is None else f"{steps:g}")
    yield Cell(cost, words.number(cost))


def _metrics(runs):
    """The metrics that at least one evaluation reports, by (section, name)."""
    found = {}
    for run in runs:
        for metric in (run.evaluation or {}).get("metrics", []):
            if metric.get("value") is not None:
                found.setdefault((metric["section"], metric["name"]), metric)
    return found


def _measured(run, metrics):
    mine = {(m["section"], m["name"]): m for m in (run.evaluation or {}).get("metrics", [])}
    for key in metrics:
        metric = mine.get(key, {})
        null = metric.get("null")
        yield Cell(metric.get("value"), words.number(metric.get("value")), "" if null is None else words.number(null))


def _title(metric):
    said = metric.get("unit") in (None, "", "share", "objective")  # the title does
    return metric["title"] if said else f"{metric['title']} ({metric['unit']})"
