"""What plots show: recomputed from the files of runs, or known in closed form."""

import json
from statistics import median

import pytest
import torch

from equidiff_cli.report.comparisons import DEVIATION, against, between, compared, deviation, median_loss
from equidiff_cli.report.plots import chi_square, evaluated, loss, sparse, typicality
from equidiff_cli.runs.reader import error, read


def test_loss_curves_are_those_of_the_log(make_run):
    run = read(make_run("run", samples=5, steps=6), "run")
    plot = loss(run, 64)
    assert [line.y for line in plot.lines] == [run.losses[i]["loss"] for i in range(5)]
    assert [line.style for line in plot.lines] == [f"status-{r['status']}" for r in run.records]
    assert plot.rules == [(0.01, "threshold 0.01")] and plot.y.scale == "log"
    at_three = [columns["loss"][2] for columns in run.losses.values()]
    row = next(row for row in plot.rows if row[0] == 3)
    assert row[1] == 5 and float(row[3]) == pytest.approx(median(at_three), rel=5e-3)
    assert "median" in plot.finding


def test_many_samples_are_bounded_and_that_is_said(make_run):
    run = read(make_run("run", samples=7), "run")
    assert len(loss(run, 4).lines) == 4 and "3 more are left out" in loss(run, 4).about
    assert loss(read(make_run("none", samples=0, finished=False), "none"), 4) is None


def test_the_band_of_typicality_is_that_of_chi_square():
    """Against a large sample of its own: 2.5 % of draws lie below and above."""
    for d in (24, 512):
        draws = torch.randn(20_000, d, generator=torch.Generator().manual_seed(0)).square().sum(1)
        assert (draws < chi_square(d, -1.96)).double().mean().item() == pytest.approx(0.025, abs=0.004)
        assert (draws > chi_square(d, 1.96)).double().mean().item() == pytest.approx(0.025, abs=0.004)


def test_typicality_is_the_squared_norm_by_its_dimensions(make_run):
    run = read(make_run("run", samples=2), "run")
    plot = typicality(run, 64)
    assert run.dimensions == 24
    assert plot.lines[1].y == [pytest.approx(norm**2 / 24) for norm in run.losses[1]["latent_norm"]]
    run.dimensions = None
    assert typicality(run, 64) is None


def test_tables_of_many_steps_are_short():
    steps = sparse(list(range(1, 1001)))
    assert steps[:10] == list(range(1, 11)) and steps[-1] == 1000 and len(steps) < 45
    assert sparse([1, 2, 3]) == [1, 2, 3]


def test_curves_of_an_evaluation_keep_their_axes_lines_and_bands(make_run, evaluated_run):
    run = read(evaluated_run, "run")
    written = json.loads((evaluated_run / "evaluation.json").read_text())["curves"]
    plots = list(evaluated(run))
    assert [section for section, _ in plots] == ["frequency", "frequency"]
    for (_, plot), curve in zip(plots, written, strict=True):
        assert [line.y for line in plot.lines] == [line["values"] for line in curve["lines"]]
        assert [line.low for line in plot.lines] == [line.get("low") for line in curve["lines"]]
        assert (plot.x.scale, plot.y.scale) == (curve["x"]["scale"], curve["y"]["scale"])
        assert len({line.style for line in plot.lines}) == len(plot.lines) and len(plot.rows) == 6


@pytest.fixture
def evaluated_run(make_run, evaluated):
    return evaluated(make_run("run"))


def test_comparisons_have_one_line_a_run(make_run, evaluated):
    runs = [read(evaluated(make_run(str(i), samples=3)), str(i)) for i in range(3)]
    plots = {plot.title: plot for plot in compared(runs, ["a", "b", "c"])}
    deviation = plots["Deviation after a low-pass filter"]
    assert [line.name for line in deviation.lines] == ["a", "b", "c", "unguided (a)"]
    assert len({line.style for line in deviation.lines}) == 4
    assert "Power spectrum" in plots


def test_the_median_loss_keeps_what_finished_samples_reached(make_run):
    run = read(make_run("run", samples=2, steps=3), "run")
    run.losses = {0: {"loss": [8.0, 2.0, 4.0]}, 1: {"loss": [None, 6.0]}}
    (line,) = median_loss([run], ["a"]).lines
    assert line.y == [7.0, 4.0, 4.0], "sample 1 has nothing before its first finite loss, sample 0 keeps its lowest"


def test_the_error_against_what_a_sweep_varies(make_run):
    runs = [
        read(make_run(str(i), samples=4 + i, **{"filter.cutoff": c}), str(i)) for i, c in enumerate((0.9, 0.1, 0.5))
    ]
    plot = against(runs, "filter.cutoff")
    (line,) = plot.lines
    assert line.x == [0.1, 0.5, 0.9]
    assert line.y[0] == pytest.approx(median(error(runs[1], record)[0] for record in runs[1].records))
    assert all(low <= middle <= high for low, middle, high in zip(line.low, line.y, line.high, strict=True))
    assert against(runs[:2], "filter.cutoff") is None, "two points are no curve"
    assert against(runs, "query") is None


def test_the_deviation_of_a_sweep_over_the_cutoff(make_run, evaluated):
    runs = [
        read(evaluated(make_run(str(i), samples=2, **{"filter.cutoff": c})), str(i)) for i, c in enumerate((0.6, 0.1))
    ]
    plot = deviation(runs, ["a", "b"])
    written = runs[0].evaluation["curves"][0]
    curve = [line["values"] for line in written["lines"]]
    assert [line.name for line in plot.lines[:3]] == ["b", "a", "unguided"], "in the order of the cutoffs"
    assert [line.y for line in plot.lines[:3]] == [curve[0], curve[0], curve[1]]
    assert [name for _, name in plot.legend] == ["b", "a", "unguided"]
    own, other = plot.lines[3:]
    assert (own.x, own.y) == ([0.1], [pytest.approx(curve[0][1])]) and other.x == [0.6]
    assert other.y == [pytest.approx((curve[0][3] + curve[0][4]) / 2)], "halfway between 0.4 and 0.8"
    assert own.style == plot.lines[0].style != other.style
    assert deviation(runs[:1], ["a"]) is None
    assert plot.title not in [p.title for p in compared(runs, ["a", "b"], DEVIATION)]
    assert written["title"].capitalize() not in [p.title for p in compared(runs, ["a", "b"], DEVIATION)]


def test_a_line_between_its_points():
    assert between([0, 1, 3], [0.0, 2.0, 4.0], 2) == 3.0 and between([0, 1], [5.0, 7.0], 1) == 7.0
    assert between([0, 1], [5.0, 7.0], 1.5) is None and between([0, 1], [5.0, None], 0.5) is None
