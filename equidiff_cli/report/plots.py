"""The plots of one run: loss, typicality, and the curves of its evaluation."""

import math
from statistics import median

from equidiff_cli.report.svg import Axis, Line, Plot
from equidiff_cli.report.words import endless, number, setting
from equidiff_cli.runs.reader import STATUSES

LOSS = Axis("loss", "null spreads of the distance", "log")
COLOURS = 8  # of the style sheet, for runs
KINDS = {"samples": "samples", "unguided": "unguided", "query": "query", "real": "real"}


def loss(run, most):
    """Loss curves of the first `most` samples, one line each, with the threshold."""
    threshold = run.settings.get("budget.threshold")
    if endless(run):  # such losses are heights, below 0, too
        axis = Axis("loss", "null spreads below what unguided samples have")
        return _by_sample(
            run, most, "loss", axis, title="Loss while optimising", about="The loss of each sample at each step."
        )
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
    status = {record["index"]: record.get("status") for record in run.rows}
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
        x=Axis("step", whole=True),
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
    yield from curves(run.evaluation)


def curves(found):
    """(section, `Plot`) of every curve in an evaluation or an explanation, which may be None."""
    for curve in (found or {}).get("curves", []):
        lines = [
            Line(line["name"], curve["x"]["values"], line["values"], kind(line["name"], i), *_band(line))
            for i, line in enumerate(curve["lines"])
        ]
        yield curve["section"], curve_plot(curve, lines)


def _band(line):
    return line.get("low"), line.get("high")


def kind(name, i):
    """The style of a line of an evaluation: by its name where that is known, else by its number."""
    return f"kind-{KINDS[name]}" if name in KINDS else f"run-{i % COLOURS}"


def curve_plot(curve, lines, about=""):
    """The `Plot` of `lines` on the axes of a curve of an evaluation."""
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
