"""Reading run directories: finished, going on, damaged, with and without an evaluation."""

import csv
import hashlib
import json
import math

import pytest
import torch
from safetensors.torch import load_file

from equidiff_cli.runs.reader import error, read, typicality


def test_a_finished_run_is_read_whole(make_run):
    path = make_run("run", samples=5, steps=6)
    run = read(path, "run")
    assert run.finished and run.wanted == 5 and [record["index"] for record in run.records] == list(range(5))
    assert run.counts == {"converged": 2, "budget": 2, "nonfinite": 1}
    rows = list(csv.DictReader((path / "losses.csv").open()))
    for sample, columns in run.losses.items():
        assert columns["loss"] == [float(row["loss"]) for row in rows if int(row["sample"]) == sample]
    assert run.missing == {} and run.failure == "" and run.evaluation is None


def test_errors_are_in_standard_deviations_over_unguided_samples(make_run):
    """The null distance of a squared distance is a variance: 4 here, so a null spread is 2 units of the objective."""
    run = read(make_run("run", samples=3), "run")
    for record in run.records:
        assert error(run, record) == (pytest.approx(abs(record["objective_saved"] - 3.5) / 2), "null spreads")
    record = run.records[0] | {"objective_saved": [1.0, 2.0], "target": [4.0, 6.0]}
    assert error(run, record)[0] == pytest.approx(5.0 / 2), "3, 4, 5"
    assert error(run, record | {"objective_saved": None, "target": 1.0}) == (None, "")


def test_errors_of_other_distances_are_in_units_of_the_objective(make_run):
    run = read(make_run("run", samples=1, **{"distance._target_": "equidiff_cli.parts.distances.Cosine"}), "run")
    assert error(run, run.records[0]) == (pytest.approx(0.02), "units of the objective")


def test_the_evaluation_has_the_last_word_on_errors(make_run, evaluated):
    path = evaluated(make_run("run"), per_sample=[{"index": 1, "error_spreads": 0.75}])
    run = read(path, "run")
    assert error(run, run.rows[1]) == (0.75, "null spreads")


@pytest.mark.parametrize("finished", [True, False])
def test_typicality_is_that_of_the_saved_noise(make_run, finished):
    path = make_run("run", samples=2, finished=finished, wanted=3)
    run = read(path, "run")
    for record in run.records:
        noise = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(record["index"]))
        if finished:
            noise = load_file(path / "latents.safetensors")["z_start"][record["index"]]
        assert typicality(run, record) == pytest.approx(noise.square().mean().item(), rel=1e-5)


def test_damaged_latents_are_no_reason_to_say_nothing(make_run):
    path = make_run("run")
    (path / "latents.safetensors").write_bytes(b"damaged")
    run = read(path, "run")
    assert run.records and typicality(run, run.records[0]) is None


def test_a_run_that_goes_on_is_read_as_far_as_it_came(make_run):
    path = make_run("run", samples=2, finished=False, wanted=8)
    for name in ("samples.jsonl", "losses.csv"):
        with open(path / name, "a") as file:
            file.write('{"index": 2, "sta' if name == "samples.jsonl" else "7,1,0.")
    run = read(path, "run")
    assert not run.finished and run.wanted == 8 and len(run.records) == 2 and set(run.losses) == {0, 1}
    assert run.settings["budget.threshold"] == 0.01


def test_pictures_that_are_not_the_measured_ones_are_named(make_run, evaluated):
    path = make_run("run", samples=4)
    records = [json.loads(line) for line in (path / "samples.jsonl").read_text().splitlines()]
    for record in records:
        record["sha256"] = hashlib.sha256((path / record["file"]).read_bytes()).hexdigest()
    (path / "samples.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert read(path, "run").missing == {}
    (path / "samples/001.png").unlink()
    (path / "samples/002.png").write_bytes((path / "samples/003.png").read_bytes())
    assert read(path, "run").missing == {"samples/001.png": "deleted", "samples/002.png": "replaced"}
    evaluated(path, missing=[{"file": "samples/000.png", "why": "replaced"}])
    assert read(path, "run").missing["samples/000.png"] == "replaced"


def test_a_job_that_failed_says_why(tmp_path):
    (tmp_path / "job" / ".hydra").mkdir(parents=True)
    (tmp_path / "job" / "run.log").write_text("[time][ERROR] budget.steps=0: must be at least 1\n\n")
    run = read(tmp_path / "job", "job")
    assert run.failure.endswith("must be at least 1") and run.records == [] and not run.finished


@pytest.mark.parametrize("name", ["summary.json", "evaluation.json", "samples.jsonl", ".hydra/overrides.yaml"])
def test_a_damaged_file_is_named(make_run, name):
    path = make_run("run")
    (path / name).write_text("{[\n")
    with pytest.raises(ValueError, match=name.rpartition("/")[2]) as raised:
        read(path, "run")
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)


def test_what_is_not_finite_is_a_gap(make_run):
    path = make_run("run", samples=1, steps=1)
    with open(path / "losses.csv", "a") as file:
        file.write("0,2,nan,0,0,,1.5\n0,3,inf,0,0,1,1.5\n")
    losses = read(path, "run").losses[0]
    assert losses["loss"][1:] == [None, None] and losses["latent_norm"][1:] == [1.5, 1.5]
    assert math.isfinite(losses["loss"][0])
