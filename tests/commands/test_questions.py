"""Every question as a user asks it: what is recorded, what is said on the page, what an evaluation makes of it."""

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from equidiff_cli.report.words import number
from equidiff_cli.request.build import build
from equidiff_cli.request.schema import composed
from equidiff_cli.runs.reader import read
from equidiff_cli.shipped import QUERIES

QUICK = ("prior=embedded", "prior.steps=2", "null_samples=8", "samples=2", "batch=2", "optimizer=gauss_newton")
ONE = "prior.steps=1"  # where the query's noise has to be found
FAST = ("null_samples=16", "likelihood=0", "jpeg=[90]", "cutoffs=[0.5]", "heldout=[]")


@pytest.fixture
def ask(equidiff, tmp_path):
    """Run, evaluate if `evaluated`, and make the page; returns the run and the page."""

    def call(*words, evaluated=False):
        done = equidiff("run", *QUICK, *words, "hydra.run.dir=run")
        assert done.returncode == 0, done.stderr
        if evaluated:
            measured = equidiff("evaluate", "run", *FAST)
            assert measured.returncode == 0, measured.stderr
        assert equidiff("report", "run").returncode == 0
        return read(tmp_path / "run"), (tmp_path / "run" / "report.html").read_text()

    return call


def refused(equidiff, tmp_path, said, *words):
    done = equidiff("run", *QUICK, *words, "hydra.run.dir=run")
    assert done.returncode == 2 and done.stdout == "" and not (tmp_path / "run").exists(), done.stderr
    assert done.stderr.startswith(f"equidiff: {said}") and len(done.stderr.splitlines()) == 1, done.stderr


def test_reaching_a_value(ask):
    run, page = ask("question=reach", "question.value=4", "budget.steps=30", evaluated=True)
    assert all(record["target"] == 4 for record in run.records)
    assert all(abs(record["objective"] - 4) < 0.1 for record in run.records if record["status"] == "converged")
    assert run.counts["converged"] >= 1
    assert "reaching 4 for the logit of cat in smallconv" in page and "4.00 asked for" in page
    converged = [i for i, row in enumerate(run.rows) if row["on_file"]]
    assert all(run.rows[i]["error_spreads"] < 0.05 for i in converged)  # from 4, not from the query's value


def test_a_value_that_no_picture_has(equidiff, tmp_path):
    done = equidiff("run", *QUICK, "question=reach", "question.value=900", "budget.steps=2", "hydra.run.dir=run")
    assert done.returncode == 0
    (line,) = read(tmp_path / "run").summary["warnings"]
    assert line.startswith("no sample reached 900: the nearest has ") and "8 unguided samples have from" in line
    assert done.stderr.replace("\n", " ").count(line) == 1 and "0 of 2 samples converged" in done.stderr


def test_a_percentile_without_a_query(ask, tmp_path):
    words = ("query=none", "objective.label=dog", "question=reach", "question.percentile=50", "budget.steps=10")
    (tmp_path / "none").mkdir()  # a folder of that name is ./none
    run, page = ask(*words, evaluated=True)
    about = run.metrics
    assert about["invariance.query_outlyingness"]["reason"] == "there was no query"
    assert about["agreement.gap"]["reason"] == about["frequency.high_frequency_query"]["reason"] == "there was no query"
    assert about["diversity.query_target"]["value"] is None and about["invariance.error_median"]["value"] is not None
    assert "There was no query." in page and "percentile 50 of unguided samples" in page
    assert "distance" not in run.records[0] and run.records[0]["target"] == pytest.approx(run.records[1]["target"])


def test_raising_and_lowering(ask, equidiff, tmp_path):
    run, page = ask("question=raise", "budget.steps=4", evaluated=True)
    assert run.counts["budget"] == 2 and run.records[0]["target"] is None and run.records[0]["on_file"] is None
    assert "every sample used up its budget" in page and "2 of 2 samples used up their budget, as they should." in page
    assert f"value {number(run.records[0]['objective_saved'])}" in page and "Moved by +" in page
    assert "<dd>after 4 steps</dd>" in page and "Errors are" not in page
    for name in ("invariance.success_0.05", "cost.nfe", "frequency.evidence_cutoff"):  # by what would it be right?
        assert run.metrics[name]["value"] is None and "nothing was to be reached" in run.metrics[name]["reason"]
    assert run.metrics["invariance.query_outlyingness"]["value"] > 0.5  # of the query's value, not of chance's mean
    firsts = {sample: columns["loss"][0] for sample, columns in run.losses.items()}
    assert all(record["loss"] < firsts[record["index"]] for record in run.records)
    done = equidiff("run", *QUICK, "question=lower", "budget.steps=4", "hydra.run.dir=lower")
    assert done.returncode == 0 and "has no end: the budget was used up" in done.stderr
    pairs = zip(run.records, read(tmp_path / "lower").records, strict=True)
    assert all(high["objective"] > low["objective"] for high, low in pairs)


def test_holding_one_network_while_raising_another(ask):
    terms = "[{objective: logit},{target: smallresnet,objective: logit,objective.label: dog,question: raise,weight: 2}]"
    run, page = ask("objective=all", f"objective.terms={terms}", "budget.steps=4", evaluated=True)
    assert run.summary["target"] == "smallconv and smallresnet"
    assert run.summary["objective"] == "logit of cat of smallconv and logit of dog of smallresnet"
    assert [len(record["objective"]) for record in run.records] == [2, 2] and run.records[0]["target"][1] is None
    assert set(run.records[0]["seen"]) == {"smallconv", "smallresnet"}
    assert any(name.startswith("objective/") for name in run.weights)  # the second network counts
    assert "holding the logit of cat in smallconv" in page and "raising the logit of dog in smallresnet" in page


def test_a_counterfactual_starts_at_the_query(ask, tmp_path, equidiff):
    """Of a query that the prior itself drew: what the same seed gives before anything is optimised."""
    done = equidiff("run", *QUICK, ONE, "samples=1", "budget.steps=1", "hydra.run.dir=drawn")
    assert done.returncode == 0
    query = f"query={tmp_path}/drawn/unguided/000.png"
    run, page = ask(ONE, query, "question=counterfactual", "samples=1", "budget.steps=30", evaluated=True)
    (record,) = run.records
    assert run.summary["start"]["psnr"] > 35 and record["status"] == "converged"
    assert record["seen"]["smallconv"]["class"] != run.summary["query_seen"]["smallconv"]["class"]
    assert record["target"] == 1 and record["distance"] < 0.1  # far less than two pictures of the prior differ by
    assert run.metrics["counterfactual.flipped"]["value"] == 1 and run.metrics["counterfactual.wanted"]["value"] == 1
    assert -1 <= run.metrics["counterfactual.cout"]["value"] <= 1
    assert run.metrics["counterfactual.pixels"]["value"] == pytest.approx(record["distance"], abs=1e-5)
    assert "turning the decision" in page and "Samples began at the query’s own noise" in page
    label = run.summary["query_seen"]["smallconv"]["class"]
    words = (ONE, query, "question=counterfactual", f"question.label={label}", "samples=1")
    done = equidiff("run", *QUICK, *words)
    assert (
        done.returncode == 2 and f"question.label={label}: is what smallconv sees in the query already" in done.stderr
    )
    near = equidiff("run", *QUICK, ONE, query, "near=[0,1]", "budget.steps=1", "samples=3", "hydra.run.dir=near")
    assert near.returncode == 0 and equidiff("report", "near").returncode == 0
    distances = [record["distance"] for record in read(tmp_path / "near").records]
    assert max(distances) > 2 * min(distances)
    page = (tmp_path / "near" / "report.html").read_text()
    shown = [page.index(f'alt="sample {i}"') for i in np.argsort(distances)]
    assert shown == sorted(shown)
    # only in a box
    words = (ONE, query, "region=[8,8,24,24]", "budget.steps=2", "samples=1", "hydra.run.dir=box")
    assert equidiff("run", *QUICK, *words).returncode == 0 and equidiff("report", "box").returncode == 0
    before, after = (np.asarray(Image.open(tmp_path / "box" / name)) for name in ("query.png", "samples/000.png"))
    differing = np.argwhere((before != after).any(2))
    assert differing.min() >= 8 and differing.max() < 24 and len(differing) > 100
    assert read(tmp_path / "box").records[0]["penalty"] > 0
    assert "Only in the region may they differ" in (tmp_path / "box" / "report.html").read_text()


def test_only_the_evidence_of_a_region(ask):
    run, page = ask("region=attribution", "region_role=evidence", "budget.steps=2", evaluated=True)
    assert run.summary["objective"].endswith("by the region alone") and "Only the region counts" in page
    white = np.asarray(Image.open(run.path / "region.png"))[..., 0] > 127
    assert white.mean() == pytest.approx(0.25, abs=0.01)


def test_terms_keep_their_questions_by_the_evidence_of_a_region():
    terms = "[{objective: logit,question: reach,question.value: 4},{objective: logit,objective.label: dog,weight: 2}]"
    words = (*QUICK[:3], "objective=all", f"objective.terms={terms}", "region=[0,0,16,16]", "region_role=evidence")
    question = build(composed(*words)).question
    assert question.weights == [1, 2] and question.target[0] == 4 and question.target[1] != 4
    assert question.names[0]["objective"] == "logit of cat by the region alone"
    x = torch.rand(2, 3, 32, 32)
    other = x.clone()
    other[..., 16:, :] = 0
    for seen, changed in zip(question(x), question(other), strict=True):
        torch.testing.assert_close(seen, changed)


def test_samples_that_repel_each_other(ask, equidiff):
    run, page = ask("diverse=true", "budget.steps=2", "samples=4", "batch=4")
    assert run.settings["diverse (batch)"] == 4 and "they are not independent" in page
    assert all(0 < record["penalty"] < 1 for record in run.records)
    done = equidiff("run", *QUICK, "diverse=true", "budget.steps=2", "samples=4", "batch=2", "hydra.run.dir=run")
    assert done.returncode == 2 and "batch" in done.stderr


def test_a_folder_of_queries(equidiff, tmp_path):
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b=1, (2).png"):
        shutil.copy(QUERIES / "cat.png", tmp_path / "pictures" / name)
    (tmp_path / "pictures" / "broken.png").write_text("no picture")
    (tmp_path / "pictures" / "queries.csv").write_text("file,objective.label\na.png,dog\n")
    words = ("run", *QUICK, "samples=1", "budget.steps=1", "query=pictures", "hydra.run.dir=out")
    done = equidiff(*words)
    assert done.returncode == 2 and done.stdout.splitlines() == ["out/a", "out/b_1_2_"]
    assert "query=pictures/broken.png: not a picture" in done.stderr
    assert read(tmp_path / "out" / "a").summary["objective"] == "logit of dog"
    assert read(tmp_path / "out" / "b_1_2_").summary["objective"] == "logit of cat"
    rows = list(csv.DictReader((tmp_path / "out" / "pictures.csv").open()))
    assert [(row["run"], row["finished"]) for row in rows] == [("a", "yes"), ("b_1_2_", "yes"), ("broken", "no")]
    before = (tmp_path / "out" / "a" / "summary.json").stat().st_mtime_ns
    (tmp_path / "pictures" / "broken.png").unlink()
    assert equidiff(*words).returncode == 0  # the same command goes on
    assert (tmp_path / "out" / "a" / "summary.json").stat().st_mtime_ns == before
    assert equidiff("report", "out").returncode == 0 and "Table of runs" in (tmp_path / "out/report.html").read_text()


def test_queries_share_the_networks(equidiff, monkeypatch):
    from equidiff_cli.prior.embedded import Embedded

    made, build = [], Embedded.build
    monkeypatch.setattr(Embedded, "build", lambda self, **options: made.append(1) or build(self, **options))
    done = equidiff("run", *QUICK, "samples=1", "budget.steps=1", "query=[cat,cat]")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2 and len(made) == 1, done.stderr


TERM = "{objective: logit,objective.label: dog}"
WRONG = {
    "question=reach: give one of": ["question=reach"],
    "question.value and question.change: give one of": ["question=reach", "question.value=1", "question.change=1"],
    "question.value=[1.0, 2.0]: the objective gives 1 values": ["question=reach", "question.value=[1.0,2.0]"],
    "question.value=high: must be a number": ["question=reach", "question.value=high"],
    "question.percentile=101: must be a number at least 0 and at most 100": [
        "question=reach",
        "question.percentile=101",
    ],
    "question.change: is counted from the query's": [
        "question=reach",
        "question.change=1",
        "query=none",
        "objective.label=dog",
    ],
    "query=none: this question is about a query": ["query=none"],
    "objective.label: null is a class of the query": ["query=none", "question=raise"],
    "question.stride=0: must be a number above 0": ["question=raise", "question.stride=0"],
    "question.margin=-1: must be a number above 0": ["question=counterfactual", "question.margin=-1"],
    "objective=margin: this question has an objective of its own": ["question=counterfactual", "objective=margin"],
    "near=2: must be a number at least 0 and at most 1": ["near=2"],
    "near=[1, 0]: the smaller number comes first": ["near=[1,0]"],
    "near=0.5: needs a query": ["near=0.5", "query=none", "question=raise", "objective.label=dog"],
    "region=mask.png: is 7 x 9 pixels, the query is 256 x 256": ["region=mask.png"],
    "region=empty.png: is empty at 32 x 32 pixels": ["region=empty.png"],
    "region=nothing.png: no such file": ["region=nothing.png"],
    "region=[0, 0, 40, 8]: a box is": ["region=[0,0,40,8]"],
    "region=[0, 0, 32, 32]: is everything": ["region=[0,0,32,32]"],
    "region_role=held: use one of free, evidence": ["region_role=held"],
    "batch=auto: with diverse=true": ["diverse=true", "batch=auto"],
    "pad=true: with diverse=true": ["diverse=true", "batch=2", "pad=true"],
    "diverse=-1: must be a number above 0": ["diverse=-1"],
    "objective.terms[1]: asks of the same value as objective.terms[0]": [
        "objective=all",
        f"objective.terms=[{TERM},{TERM[:-1]},question: raise}}]",
    ],
    "objective.terms[1]: asks of the logit of cat of smallconv, as another term does": [
        "objective=all",
        "objective.terms=[{objective: logit},{objective: logit,objective.label: cat,question: lower}]",
    ],
    "objective.terms=[{'objective': 'logit'": ["objective=all", f"objective.terms=[{TERM}]"],
    "objective.terms[0].distance: no such key": ["objective=all", f"objective.terms=[{{distance: l2}},{TERM}]"],
    "objective.terms[1].weight=0: must be a number above 0": [
        "objective=all",
        f"objective.terms=[{{objective: logit}},{TERM[:-1]},weight: 0}}]",
    ],
    "query=nowhere*: matches no picture": ["query=nowhere*"],
}


@pytest.mark.parametrize("said", WRONG)
def test_what_makes_no_sense_is_said_in_one_line(equidiff, tmp_path, said):
    Image.new("L", (7, 9), "white").save(tmp_path / "mask.png")
    Image.new("L", (32, 32)).save(tmp_path / "empty.png")
    refused(equidiff, tmp_path, said, *WRONG[said])
