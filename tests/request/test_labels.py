"""prior.label, and priors that jump, through the command: what is recorded, said, refused and evaluated."""

import json

import pytest
from helpers import layout
from safetensors.torch import load_file

from equidiff_cli.prior.prior import random_label, sample_seed
from equidiff_cli.report.words import facts
from equidiff_cli.runs.reader import read
from equidiff_cli.target.small import CIFAR10

QUICK = ("samples=2", "batch=2", "budget.steps=2", "null_samples=2", "hydra.run.dir=out")


@pytest.fixture
def jumping(published_files):
    """The words for a small prior in the published layout that jumps twice."""
    words = layout.arguments(published_files, **layout.SMALL)
    return (*words, "prior.jumps=uniform", "prior.steps=2", "prior.shift=1.0", "prior.null_trained=no")


def records(folder):
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def test_the_class_of_the_query_is_settled_once_recorded_and_said(equidiff, tmp_path):
    words = ("run", "prior=embedded", "prior.steps=1", "prior.label=query", *QUICK)
    done = equidiff(*words)
    assert done.returncode == 0, done.stderr
    found = {"index": CIFAR10.index("cat"), "name": "cat"}
    assert [record["label"] for record in records(tmp_path / "out")] == [found, found]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["label"] == {"asked": "query", "class": found, "null_trained": "yes"}
    assert summary["configuration"]["prior.label (class of the query)"] == found["index"]
    said = dict(facts(read(tmp_path / "out")))["Class"]
    assert said.startswith("every sample as the query’s top class, cat: the set is narrowed to ")
    done = equidiff(*words[:3], "prior.label=dog", *QUICK)
    assert done.returncode == 2 and "was begun with " in done.stderr


def test_jumps_and_random_classes_are_recorded_and_evaluated(equidiff, jumping, tmp_path):
    done = equidiff("run", *jumping, "prior.label=random", *QUICK)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    for record in records(tmp_path / "out"):
        assert record["label"]["index"] == random_label(sample_seed(0, record["index"]), 10)
        assert record["nfe"] == 4
    latents = load_file(tmp_path / "out" / "latents.safetensors")
    assert latents["z_start"].shape == (2, 16, 4, 4) and latents["z"].shape == (2, 8, 4, 4)
    norms = latents["z_start"].flatten(1).norm(dim=1)
    assert [record["latent_norm"] for record in records(tmp_path / "out")] == pytest.approx(norms.tolist())
    done = equidiff("evaluate", "out", "null_samples=16", "heldout=[]")
    assert done.returncode == 0, done.stderr
    metrics = {m["name"]: m for m in json.loads((tmp_path / "out" / "evaluation.json").read_text())["metrics"]}
    assert metrics["typicality"]["value"] == pytest.approx((norms**2).mean().item() / 256, rel=1e-5)
    assert "it jumps" in json.dumps(metrics["likelihood"])
    assert dict(facts(read(tmp_path / "out")))["Class"].startswith("each sample as one of its own")


def test_the_flow_of_random_classes_has_likelihoods(equidiff, tmp_path):
    done = equidiff("run", "prior=embedded", "prior.steps=1", "prior.label=random", *QUICK)
    assert done.returncode == 0, done.stderr
    likelihood = ("likelihood=2", "probes=2", "likelihood_steps=2")
    done = equidiff("evaluate", "out", "null_samples=16", "heldout=[]", *likelihood)
    assert done.returncode == 0, done.stderr
    metrics = {m["name"]: m for m in json.loads((tmp_path / "out" / "evaluation.json").read_text())["metrics"]}
    assert metrics["likelihood"]["value"] is not None


def test_no_class_of_a_prior_that_was_not_trained_so_is_warned_of(equidiff, jumping, tmp_path):
    done = equidiff("run", *jumping, "prior.label=null", *QUICK)
    assert done.returncode == 0 and "warning: prior.label=null: local was not trained to draw without" in done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert len(summary["warnings"]) >= 1 and summary["label"]["null_trained"] == "no"
    assert dict(facts(read(tmp_path / "out")))["Class"].startswith("none, and the prior was not trained for that")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prior=embedded", "prior.label=10"], "prior.label=10: must be a whole number at least 0 and at most 9"),
        (["prior=embedded", "prior.label=cta"], "prior.label=cta: the prior has no such class; use one of airplane, "),
        (["prior=embedded", "prior.label=-1"], "prior.label=-1: must be null (no class), a class by its index or name"),
        (["prior=embedded", "prior.label=true"], "prior.label=True: must be null"),
        (["prior=embedded", "prior.label=query", "target=function", "target._target_=mine.Net"], "prior.label=query: "),
        (["experiment=circles", "+prior.label=1"], "prior.label: no such key; use one of "),
        (["prior=facm", "prior.solver=heun"], "prior.solver=heun: this prior jumps from each time to the end"),
        (["prior=imf", "prior.solver=heun"], "prior.solver=heun: this prior jumps"),
        (["prior=ucgm", "prior.shift=0.3"], "prior.shift=0.3: this prior jumps"),
        (["prior=facm", "prior.steps=2", "gradient_steps=1"], "gradient_steps=1: this prior jumps"),
        (["prior=facm", "prior.jumps=[0.5,0.6]"], "prior.jumps=[0.5, 0.6]: the times go from"),
        (["prior=facm", "prior.jumps=often"], "prior.jumps=often: must be null, uniform, or two gaps"),
        (["prior=facm", "prior.jumps=mean"], "prior.jumps=mean: this network knows no length of a jump"),
        (["prior=facm", "prior.label=tabbby"], "prior.label=tabbby: facm has no such class; the nearest of"),
        (["prior=imf", "prior.label=1000"], "prior.label=1000: must be a whole number at least 0 and at most 999"),
        (["prior=imf", "prior.size=S"], "prior.size=S: use one of B, M, L, XL"),
        (["prior=imf", "prior.omega=0.5"], "prior.omega=0.5: must be a number at least 1"),
        (["prior=imf", "prior.jumps=uniform"], "prior.jumps=uniform: use one of mean"),
    ],
)
def test_wrong_words_are_one_line(equidiff, tmp_path, monkeypatch, words, message):
    (tmp_path / "mine.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x.mean((2, 3))\n"
    )
    done = equidiff("run", *words, "device=cpu")
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"equidiff: {message}")
