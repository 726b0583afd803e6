"""Methods side by side: when they are, what a row and the plots of costs say."""

import pytest

from equidiff_cli.report import methods
from equidiff_cli.report.matrix import by_sample
from equidiff_cli.report.page import render
from equidiff_cli.runs.reader import read

METHODS = "equidiff_cli.methods."


def runs(make_run, *names):
    return [read(make_run(name, **{"method._target_": METHODS + name})) for name in names]


def spent(run, **costs):
    """As if the samples of a run had cost so much."""
    for record in run.records:
        record |= costs
    return run


def test_only_different_methods_of_one_query_are_side_by_side(make_run):
    same = [read(make_run(name, **{"method._target_": METHODS + "latent.Latent"})) for name in "ab"]
    assert not methods.several(same)
    two = runs(make_run, "latent.Latent", "guidance.Guidance")
    assert methods.several(two)
    other = read(make_run("c", query="dog", **{"method._target_": METHODS + "walk.Walk"}))
    assert not methods.several([*two, other])


def test_a_row_has_numbers_and_pictures(make_run, evaluated):
    two = runs(make_run, "latent.Latent", "guidance.Guidance")
    evaluated(two[0].path)
    two[0] = spent(read(two[0].path), nfe=24)
    spent(two[1], nfe=4)
    found = methods.side_by_side(by_sample(two, {}), two)
    assert found.columns[0].lines == ["numbers"] and len(found.columns) == 5
    (_, first), (_, second) = found.rows
    assert first[0].alt.startswith("2 of 4 converged; error 0.0") and "network evaluations 24" in first[0].alt
    assert "time 1.5 s" in first[0].alt and "network evaluations 4;" in second[0].alt
    assert all(cell.picture for cell in first[1:])


def test_costs_are_medians_and_what_is_free_is_named(make_run):
    three = runs(make_run, "latent.Latent", "guidance.Guidance", "nearest.Nearest")
    for run, nfe in zip(three, (40, 4, 0), strict=True):
        spent(run, nfe=nfe)
    nfe, seconds = methods.costs(three, ["A", "B", "C"])
    assert {(line.name, line.x[0]) for line in nfe.lines} == {("A", 40), ("B", 4)}
    assert nfe.finding == "Without any: C." and seconds.finding == ""
    errors = sorted(0.02 * (1 + index * 7 % 5) / 2 for index in range(4))  # of tests/helpers/runs.py, in null spreads
    assert nfe.lines[0].y[0] == pytest.approx((errors[1] + errors[2]) / 2) and len(nfe.rows) == 3
    page = render(three)
    assert "Methods side by side" in page and "Error against network evaluations" in page
