"""The plots of several runs against each other, one line a run."""

import math
from itertools import pairwise
from statistics import median, quantiles

from equidiff_cli.report.plots import COLOURS, LOSS, curve_plot, kind, sparse
from equidiff_cli.report.svg import Axis, Line, Plot
from equidiff_cli.report.words import number, setting
from equidiff_cli.runs.reader import error

CUTOFF = "filter.cutoff"
DEVIATION = ("frequency", "deviation")  # section and name of the curve that one sweeps the cutoff for


def compared(runs, names, but=None):
    """`Plot`s with one line a run: the median loss, then every curve that the evaluations share, `but` one."""
    plots = [median_loss(runs, names)]
    curves = {}
    for i, run in enumerate(runs):
        for curve in (run.evaluation or {}).get("curves", []):
            curves.setdefault((curve["section"], curve["name"]), []).append((i, curve))
    for which, found in curves.items():
        if len(found) < 2 or which == but:
            continue
        lines = [
            Line(names[i], curve["x"]["values"], line["values"], style(i))
            for i, curve in found
            for line in curve["lines"]
            if line["name"] == "samples"
        ]
        first = found[0][1]
        lines += [
            Line(
                f"{line['name']} ({names[found[0][0]]})",
                first["x"]["values"],
                line["values"],
                f"{kind(line['name'], 0)} neutral",
            )
            for line in first["lines"]
            if line["name"] != "samples"
        ]
        plots.append(curve_plot(first, lines, " One line a run."))
    return [plot for plot in plots if plot]


def deviation(runs, names):
    """What one sweeps the cutoff of the filter for: how far low-passed samples are from the query's value at every
    cutoff, one line a run, each with a dot at the cutoff that its run held. None where fewer than two are evaluated.
    """
    found = []
    for i, run in enumerate(runs):
        curve = next(
            (c for c in (run.evaluation or {}).get("curves", []) if (c["section"], c["name"]) == DEVIATION), None
        )
        if curve:
            found += [(i, curve, line) for line in curve["lines"] if line["name"] == "samples"]
    if len({i for i, *_ in found}) < 2:
        return None
    found.sort(key=lambda one: runs[one[0]].settings.get(CUTOFF) or 1)
    lines = [Line(names[i], curve["x"]["values"], line["values"], style(i)) for i, curve, line in found]
    _, first, _ = found[0]
    chance = [
        Line("unguided", first["x"]["values"], line["values"], "kind-unguided neutral")
        for line in first["lines"]
        if line["name"] == "unguided"
    ]
    about = f" One line a run; a dot marks the {CUTOFF} that its samples were drawn with."
    plot = curve_plot(first, [*lines, *chance], about)
    plot.title = f"Deviation against the cutoff, for each {CUTOFF}"
    plot.lines += [
        Line(line.name, [place], [between(line.x, line.y, place)], line.style)
        for (i, *_), line in zip(found, lines, strict=True)
        if (place := runs[i].settings.get(CUTOFF)) is not None
    ]
    return plot


def between(x, y, place):
    """The value at `place` of a line through points with rising `x`; None beyond its ends and in gaps."""
    for (a, low), (b, high) in pairwise(zip(x, y, strict=True)):
        if a <= place <= b and None not in (low, high):
            return low + (high - low) * (place - a) / (b - a)
    return None


def style(i):
    """Colour and dashes of run number `i`."""
    return f"run-{i % COLOURS} dash-{i // COLOURS % 3}"


def median_loss(runs, names):
    """The lowest loss so far, median over samples: a sample that is finished keeps its last."""
    lines = []
    for i, run in enumerate(runs):
        so_far = [list(_lowest(columns)) for columns in run.losses.values()]
        so_far = [values for values in so_far if values]
        longest = max(map(len, so_far), default=0)
        y = [median(values[min(step, len(values) - 1)] for values in so_far) for step in range(longest)]
        if y:
            lines.append(Line(names[i], list(range(1, longest + 1)), y, style(i)))
    if not lines:
        return None
    thresholds = {run.settings.get("budget.threshold") for run in runs} - {None}
    steps = sparse(sorted({step for line in lines for step in line.x}))
    return Plot(
        title="Loss so far, median over samples",
        about="The lowest loss that a sample has seen, median over the samples of a run. One line a run.",
        x=Axis("step", whole=True),
        y=LOSS,
        lines=lines,
        rules=[(value, f"threshold {setting(value)}") for value in thresholds] if len(thresholds) == 1 else [],
        legend=[(line.style, line.name) for line in lines],
        columns=["step", *(line.name for line in lines)],
        rows=[(s, *(number(line.y[s - 1] if s <= len(line.y) else None) for line in lines)) for s in steps],
    )


def _lowest(columns):
    """The running minimum of a sample's loss; nothing before its first finite one."""
    lowest = math.inf
    for value in columns["loss"]:
        lowest = min(lowest, math.inf if value is None else value)
        if lowest < math.inf:
            yield lowest


def against(runs, key):
    """The error of the samples of each run against a number that differs between runs, with its quartiles."""
    points = []
    for run in runs:
        values = [pair[0] for pair in (error(run, record) for record in run.rows) if pair[0] is not None]
        place = run.settings.get(key)
        if values and isinstance(place, (int, float)) and not isinstance(place, bool):
            points.append((place, *(quantiles(values, method="inclusive") if len(values) > 1 else values * 3)))
    if len({point[0] for point in points}) < 3:
        return None
    points.sort()
    x, low, middle, high = map(list, zip(*points, strict=True))
    unit = next(error(run, record)[1] for run in runs for record in run.rows)
    wide = min(x) > 0 and max(x) / min(x) > 20
    return Plot(
        title=f"Error against {key}",
        about=f"Median error of the saved pictures for each value of {key}; the band holds the middle half.",
        x=Axis(key, scale="log" if wide else "linear"),
        y=Axis("error", unit, "log"),
        lines=[Line("median error", x, middle, "run-0", low, high, dots=True)],
        columns=[key, "lower quartile", "median", "upper quartile"],
        rows=[tuple(map(number, point)) for point in points],
    )
