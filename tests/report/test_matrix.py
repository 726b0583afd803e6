"""Sweeps as matrices: every run in its place, with the pictures of its samples."""

import base64

from equidiff_cli.report.matrix import MOST_RUNS, MOST_SAMPLES, by_sample, by_settings
from equidiff_cli.runs.reader import read

LINKS = {0: "#run-0", 1: "#run-1"}


def grid_of(make_run, cutoffs, queries):
    pairs = [(cutoff, query) for query in queries for cutoff in cutoffs]
    return [
        read(make_run(f"{i}", samples=2, query=query, **{"filter.cutoff": cutoff}), str(i))
        for i, (cutoff, query) in enumerate(pairs)
    ]


def data(picture):
    return base64.b64decode(picture.uri.partition(",")[2])


def test_rows_are_runs_and_columns_samples(make_run):
    runs = [read(make_run(str(i), samples=3 - i, **{"filter.cutoff": c}), str(i)) for i, c in enumerate((0.5, 0.1))]
    matrix = by_sample(runs, LINKS)
    assert [head.lines for head in matrix.columns] == [["sample 0"], ["sample 1"], ["sample 2"]]
    assert [head.lines for head, _ in matrix.rows] == [["filter.cutoff=0.5", "run 0"], ["filter.cutoff=0.1", "run 1"]]
    assert [head.link for head, _ in matrix.rows] == ["#run-0", "#run-1"]
    for run, (_, cells) in zip(runs, matrix.rows, strict=True):
        found = [data(cell.picture) for cell in cells if cell.picture]
        assert found == [run.file(record).read_bytes() for record in run.records]
    assert matrix.rows[1][1][2].picture is None and data(matrix.corner) == runs[0].query_file.read_bytes()
    assert "began with the same noise" in matrix.about


def test_other_seeds_are_not_called_the_same_noise(make_run):
    runs = [read(make_run(str(i), samples=2), str(i)) for i in range(2)]
    runs[1].rows[1]["seed"] = 5
    assert "noises of their own" in by_sample(runs, {}).about


def test_a_matrix_is_bounded_and_says_so(make_run):
    run = read(make_run("run", samples=MOST_SAMPLES + 2), "run")
    matrix = by_sample([run] * (MOST_RUNS + 3), {})
    assert len(matrix.rows) == MOST_RUNS and len(matrix.columns) == MOST_SAMPLES
    assert "3 more runs are left out" in matrix.about and f"first {MOST_SAMPLES} samples" in matrix.about
    assert by_sample([run], {}) is None


def test_two_settings_make_rows_and_columns(make_run):
    runs = grid_of(make_run, (0.5, 0.1), ("cat", "dog"))
    matrix = by_settings(runs[:3], LINKS)
    assert [head.lines for head, _ in matrix.rows] == [["query=cat"], ["query=dog"]]
    assert [data(head.query) for head, _ in matrix.rows] == [runs[i].query_file.read_bytes() for i in (0, 2)]
    assert [head.lines for head in matrix.columns] == [["filter.cutoff=0.1"], ["filter.cutoff=0.5"]], "by number"
    (_, (second, first)), (_, (gap, third)) = matrix.rows
    for cell, run in ((first, runs[0]), (second, runs[1]), (third, runs[2])):
        assert data(cell.picture) == run.file(run.rows[0]).read_bytes()
        assert cell.words == "1 of 2 converged, error 0.0200 null spreads"
    assert (first.link, second.link) == ("#run-0", "#run-1") and gap.picture is None and gap.alt == "not run"


def test_what_is_no_matrix_is_none(make_run):
    runs = grid_of(make_run, (0.5, 0.1), ("cat", "dog"))
    assert by_settings(runs[:2], {}) is None, "one setting"
    assert by_settings([runs[0], runs[3]], {}) is None, "a diagonal"
    assert by_settings([*runs, runs[0]], {}) is None, "two runs in one place"
