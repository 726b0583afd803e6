"""The table of several runs: what differs between them, and what came of each."""

from dataclasses import dataclass
from statistics import median

from equidiff_cli.report import words

MOST_KEYS = 8  # columns of settings that differ


@dataclass(frozen=True)
class Cell:
    """`value` is what one sorts by, `text` what one reads, `null` the same number for unguided samples or ""."""

    value: object
    text: str
    null: str = ""


@dataclass(frozen=True)
class Table:
    """`columns` are (title, about); `rows` are (link or "", name, cells); `left` are keys without a column."""

    columns: list
    rows: list
    left: list


def table(runs, keys, most_sections):
    """The `Table` of `runs`, whose settings differ in `keys`; the first `most_sections` have a section to link to."""
    shown, metrics = keys[:MOST_KEYS], _metrics(runs)
    columns = [(key, "") for key in shown]
    columns += [
        ("finished", "samples that are finished"),
        ("converged", "share of the finished samples whose loss fell below the threshold"),
        ("median error", "of the saved pictures"),
        ("median steps", "evaluations of the loss a sample"),
        ("seconds a success", "wall time of the run by its converged samples"),
    ]
    columns += [(_title(metric), metric.get("about", "")) for metric in metrics.values()]
    rows = []
    for i, run in enumerate(runs):
        cells = [Cell(_sortable(run.settings.get(key)), words.short(run.settings.get(key))) for key in shown]
        cells += [*_results(run), *_measured(run, metrics)]
        rows.append((f"#run-{i}" if i < most_sections else "", run.name, cells))
    return Table(columns, rows, keys[MOST_KEYS:])


def _results(run):
    done, converged = len(run.records), run.counts["converged"]
    share = converged / done if done else None
    middle, unit = words.median_error(run)
    steps = median(record["steps"] for record in run.records) if done else None
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
    return f"{metric['title']} ({metric['unit']})" if metric.get("unit") else metric["title"]


def _sortable(value):
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else words.short(value)
