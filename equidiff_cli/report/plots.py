"""Which plots a page has: of one run, and of several against each other."""

import math
from statistics import median, quantiles

from equidiff_cli.report.data import STATUSES, error
from equidiff_cli.report.svg import Axis, Line, Plot
from equidiff_cli.report.words import number, setting

LOSS = Axis("loss", "null spreads of the distance", "log")
COLOURS = 8  # of the style sheet, for runs
KINDS = {"samples": "samples", "unguided": "unguided", "query": "query", "real": "real"}


def loss(run, most):
    """Loss curves of the first `most` samples, one line each, with the threshold."""
    threshold = run.settings.get("budget.threshold")
    axis = LOSS if run.settings.get("loss_scale", "auto") == "auto" else Axis("loss", "scaled distance", "log")
    return _by_sample(
        run,
        most,
        "loss",
        axis,
        title="Loss while optimising",
        about="The loss of each sample at each step, on a logarithmic scale.",
        rules=[(threshold, f"threshold {setting(threshold)}")] if threshold else [],
    )


def typicality(run, most):
    """|z|^2 / d of each sample's starting noise at each step, with the range of 95 of 100 draws from the prior."""
    if not run.dimensions:
        return None
    low, high = chi_square(run.dimensions, -1.96) / run.dimensions, chi_square(run.dimensions, 1.96) / run.dimensions
    return _by_sample(
        run,
        most,
        "latent_norm",
        Axis("|z|² / d"),
        title="Typicality of the starting noise",
        about="Squared norm of each sample’s starting noise, divided by its number of dimensions: 1 is typical.",
        band=(low, high, "95 % of random noise"),
        value=lambda norm: norm**2 / run.dimensions,
    )


def chi_square(d, z):
    """The quantile of the chi-square distribution with d degrees at z standard normal deviations (Wilson-Hilferty)."""
    return d * (1 - 2 / (9 * d) + z * math.sqrt(2 / (9 * d))) ** 3


def _by_sample(run, most, column, axis, title, about, rules=(), band=None, value=lambda v: v):
    status = {record["index"]: record.get("status") for record in run.records}
    lines, at_step = [], {}
    for sample in sorted(run.losses)[:most]:
        steps = run.losses[sample]["step"]
        y = [None if v is None else value(v) for v in run.losses[sample][column]]
        kind = status.get(sample, "running")
        lines.append(Line(f"sample {sample}: {kind}", steps, y, f"status-{kind}"))
        for step, v in zip(steps, y, strict=True):
            at_step.setdefault(step, []).append(v)
    if not lines:
        return None
    kinds = [kind for kind in (*STATUSES, "running") if any(line.style == f"status-{kind}" for line in lines)]
    left = len(run.losses) - len(lines)
    rows = [
        (step, len(known), *map(number, (min(known), median(known), max(known))))
        for step in sparse(sorted(at_step))
        if (known := [v for v in at_step[step] if v is not None])
    ]
    return Plot(
        title=title,
        about=about + (f" The first {most} samples; {left} more are left out." if left > 0 else ""),
        finding=f"The median goes from {rows[0][3]} at step {rows[0][0]} to {rows[-1][3]} at step {rows[-1][0]}, "
        "among samples still in work."
        if rows
        else "",
        x=Axis("step"),
        y=axis,
        lines=lines,
        rules=list(rules),
        band=band,
        legend=[(f"status-{kind}", kind) for kind in kinds],
        columns=["step", "samples in work", "lowest", "median", "highest"],
        rows=rows,
    )


def sparse(steps):
    """Those of many steps that a table shows: the first ten, then ever wider apart, and the last."""
    kept, following = [], 0
    for step in steps:
        if step >= following or step == steps[-1]:
            kept.append(step)
            following = max(step + 1, math.ceil(step * 1.2)) if step >= 10 else step + 1
    return kept


def evaluated(run):
    """(section, `Plot`) of every curve in the evaluation of a run."""
    for curve in (run.evaluation or {}).get("curves", []):
        lines = [
            Line(line["name"], curve["x"]["values"], line["values"], kind(line["name"], i), *_band(line))
            for i, line in enumerate(curve["lines"])
        ]
        yield curve["section"], _curve(curve, lines)


def _band(line):
    return line.get("low"), line.get("high")


def kind(name, i):
    return f"kind-{KINDS[name]}" if name in KINDS else f"run-{i % COLOURS}"


def _curve(curve, lines, about=""):
    x, y = (Axis(curve[a]["title"], curve[a].get("unit") or "", curve[a].get("scale", "linear")) for a in "xy")
    places = dict.fromkeys(value for line in lines for value in line.x)
    values = [dict(zip(line.x, line.y, strict=True)) for line in lines]
    return Plot(
        title=_sentence(curve["title"]),
        about=curve.get("about", "") + about,
        x=x,
        y=y,
        lines=lines,
        legend=[(line.style, line.name) for line in lines],
        columns=[x.words, *(line.name for line in lines)],
        rows=[(number(place), *(number(v.get(place)) for v in values)) for place in sorted(places)],
    )


def _sentence(text):
    return text[:1].upper() + text[1:]


def compared(runs, names):
    """`Plot`s with one line a run: the median loss, then every curve that the evaluations share."""
    plots = [median_loss(runs, names)]
    curves = {}
    for i, run in enumerate(runs):
        for curve in (run.evaluation or {}).get("curves", []):
            curves.setdefault((curve["section"], curve["name"]), []).append((i, curve))
    for found in curves.values():
        if len(found) < 2:
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
        plots.append(_curve(first, lines, " One line a run."))
    return [plot for plot in plots if plot]


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
        x=Axis("step"),
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
        values = [pair[0] for pair in (error(run, record) for record in run.records) if pair[0] is not None]
        place = run.settings.get(key)
        if values and isinstance(place, (int, float)) and not isinstance(place, bool):
            points.append((place, *(quantiles(values, method="inclusive") if len(values) > 1 else values * 3)))
    if len({point[0] for point in points}) < 3:
        return None
    points.sort()
    x, low, middle, high = map(list, zip(*points, strict=True))
    unit = next(error(run, record)[1] for run in runs for record in run.records)
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
