"""Methods side by side: a row a method with its numbers and pictures, and its error against what it cost."""

from dataclasses import replace
from statistics import median, quantiles

from equidiff_cli.report.comparisons import style
from equidiff_cli.report.matrix import MOST_RUNS, Cell, Head
from equidiff_cli.report.svg import Axis, Line, Plot
from equidiff_cli.report.words import median_error, number, query
from equidiff_cli.runs.reader import error

METHOD = "method._target_"
COSTS = {  # keys of a record: title, axis
    "nfe": ("network evaluations", "evaluations of the velocity network a sample"),
    "seconds": ("time", "seconds a sample was in work"),
}
TELLING = (("diversity", "vendi_"), ("realism", "precision"))  # metrics of an evaluation, by the begin of their names


def several(runs):
    """Whether runs of one query were drawn by different methods."""
    begun = [run for run in runs if not run.failure]
    return len({run.settings.get(METHOD) for run in begun}) > 1 and len({query(run) for run in begun}) == 1


def side_by_side(found, runs):
    """The `Matrix` of `matrix.by_sample` with a first column of numbers."""
    shown = [run for run in runs if run.pictured and run.rows][:MOST_RUNS]
    rows = [(head, [numbers(run), *cells]) for (head, cells), run in zip(found.rows, shown, strict=True)]
    return replace(found, title="Methods side by side", columns=[Head("", ["numbers"]), *found.columns], rows=rows)


def numbers(run):
    """What came of a run, and what it cost, as a `Cell` of words alone."""
    middle, unit = median_error(run)
    words = [f"{run.counts['converged']} of {len(run.rows)} converged", f"error {number(middle)} {unit}".strip()]
    for key, (title, _) in COSTS.items():
        if values := [record[key] for record in run.rows if record.get(key) is not None]:
            words.append(f"{title} {median(values):.3g}{' s' if key == 'seconds' else ''}")
    for section, begin in TELLING:
        metrics = [
            m
            for m in (run.evaluation or {}).get("metrics", [])
            if m["section"] == section and m["name"].startswith(begin) and m.get("value") is not None
        ]
        words += [f"{m['name']} {number(m['value'])}" for m in metrics[-1:]]  # the last: of a network held out, if any
    return Cell(None, "; ".join(words))


def costs(runs, names):
    """A `Plot` for each of `COSTS` that at least two runs have: the error on file against it, a dot a run."""
    return [plot for plot in (cost(runs, names, key, *words) for key, words in COSTS.items()) if plot]


def cost(runs, names, key, title, axis):
    """One of them; a method whose cost is 0 has no place on its logarithmic scale and is named below."""
    lines, rows, free, unit = [], [], [], ""
    for i, run in enumerate(runs):
        pairs = [(error(run, record), record.get(key)) for record in run.rows]
        pairs = [(value, cost) for (value, _), cost in pairs if value is not None and cost is not None]
        if not pairs:
            continue
        unit = error(run, run.rows[0])[1]
        spent, values = median(cost for _, cost in pairs), [value for value, _ in pairs]
        low, middle, high = quantiles(values, method="inclusive") if len(values) > 1 else values * 3
        rows.append((names[i], *map(number, (spent, low, middle, high))))
        if spent > 0:
            lines.append(Line(names[i], [spent], [middle], style(i)))
            lines.append(Line(names[i], [spent, spent], [low, high], style(i)))
        else:
            free.append(names[i])
    if len({line.name for line in lines}) < 2:
        return None
    return Plot(
        title=f"Error against {title}",
        about="Median error of the saved pictures against the median cost, a dot a run; the bar holds the middle half.",
        finding=f"Without any: {'; '.join(free)}." if free else "",
        x=Axis(axis, scale="log"),
        y=Axis("error", unit, "log"),
        lines=lines,
        legend=list(dict.fromkeys((line.style, line.name) for line in lines)),
        columns=["run", axis, "lower quartile", "median", "upper quartile"],
        rows=rows,
    )
