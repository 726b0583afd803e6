"""Evaluations as tables: one run on a terminal, many runs as CSV."""

import csv
import io

from rich.markup import escape
from rich.table import Table


def number(value):
    """A number in four digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"


BESIDE = {"real": "nearest real", "augmented": "augmented query"}  # where `real` is given
LAST = -1
TELLING = (  # section and begin of the name; of several metrics the first, or where `LAST` stands, the last
    ("invariance", "error_median"),
    ("invariance", "success_"),
    ("invariance", "jpeg_"),
    ("frequency", "evidence_cutoff"),
    ("diversity", "vendi_", LAST),
    ("diversity", "nearest_", LAST),
    ("realism", "typicality"),
    ("realism", "atypical"),
    ("realism", "saturated"),
    ("realism", "precision"),
    ("typical", "effective"),
    ("typical", "probability_"),
    ("typical", "kernel"),
    ("agreement", "class_target"),
    ("agreement", "class_", LAST),
    ("agreement", "gap", LAST),
    ("cost", "nfe"),
)


def telling(metrics):
    """The dozen of metrics that say most of one run, in their order; those that are not reported are left out."""
    found = []
    for section, begin, *last in TELLING:
        family = [one for one in metrics if one["section"] == section and one["name"].startswith(begin)]
        found += family[last[0] :] if last else family[:1]
    return [one for one in metrics if one in found and one["value"] is not None]


def sentences(evaluation):
    """The findings of an evaluation, a line each."""
    return [f"{finding['title']} {finding['answer']}" for finding in evaluation["findings"]]


def table_of(path, metrics):
    """One row a metric; why something is missing stands in place of the number."""
    table = Table(title=escape(str(path)), title_justify="left", show_edge=False, pad_edge=False)
    others = [name for name in BESIDE if any(name in metric for metric in metrics)]
    for name in ("", "samples", "unguided", *(BESIDE[name] for name in others), "unit"):
        table.add_column(name, justify="left" if name in ("", "unit") else "right", overflow="fold")
    section = None
    for metric in metrics:
        if metric["section"] != section:
            section = metric["section"]
            table.add_row(f"[bold]{section}[/]")
        value = number(metric["value"])
        if "low" in metric and metric["value"] is not None:
            value += escape(f" [{number(metric['low'])}, {number(metric['high'])}]")
        if metric["value"] is None:
            table.add_row(f"  {metric['title']}", f"[dim]{escape(metric['reason'])}[/]")
        else:
            beside = (number(metric.get(name)) for name in others)
            table.add_row(f"  {metric['title']}", value, number(metric["null"]), *beside, metric["unit"])
    return table


HEADLINE = (  # what the terminal shows of many runs; the CSV file holds everything
    "invariance.error_median",
    "invariance.jpeg_75",
    "frequency.evidence_cutoff",
    "diversity.vendi_target",
    "realism.typicality",
    "realism.likelihood",
    "cost.nfe",
)


def comparison(rows):
    """The runs side by side, a few numbers each; `rows` as of `row_of`."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("samples", justify="right")
    names = [name for name in HEADLINE if any(row.get(name) is not None for row in rows)]
    for name in names:
        table.add_column(name.partition(".")[2], justify="right", overflow="fold")
    for row in rows:
        table.add_row(escape(row["run"]), str(row["samples"]), *(number(row.get(name)) for name in names))
    return table


def row_of(path, config, summary, evaluation):
    """One run as a flat row: what it is, then every metric and what unguided samples give."""
    row = {"run": str(path), "overrides": config, "complete": evaluation["complete"]}
    row |= {name: summary.get(name) for name in ("objective", "target", "query")}
    row["samples"] = len(evaluation["per_sample"])
    for metric in evaluation["metrics"]:
        key = f"{metric['section']}.{metric['name']}"
        row[key], row[f"{key}.unguided"] = metric["value"], metric["null"]
        row |= {f"{key}.{name}": metric[name] for name in BESIDE if name in metric}
    return row


def csv_of(rows):
    """The rows as CSV; a cell is empty where a run has no such number."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
