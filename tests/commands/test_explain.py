"""equidiff explain on a real run of the embedded models, by its files."""

import json

import pytest
import torch
from helpers.command import in_process
from PIL import Image
from safetensors.torch import load_file

from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.report.page import render
from equidiff_cli.runs import reader
from equidiff_cli.study import cache
from equidiff_cli.target.small import embedded

QUICK = ("null_samples=32", "steps=16", "draws=64", "cells=4", "counterparts=3", "device=cpu")
METHODS = ["saliency", "integrated_gradients", "deeplift", "gradcam"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the run `run`, five members at once by its threshold, explained; its cache is its own."""
    folder = tmp_path_factory.mktemp("explain")
    before, cache.constants.HF_HOME = cache.constants.HF_HOME, str(folder / "home")
    options = ("samples=5", "batch=5", "budget.steps=1", "budget.threshold=1e9", "prior.steps=2", "null_samples=4")
    done = in_process(["run", *options, "target=smallresnet", "hydra.run.dir=run", "device=cpu"], folder)
    assert done.returncode == 0, done.stderr
    for i in range(8):
        for name, red in (("red", 200), ("grey", 90)):
            (folder / "concepts" / name).mkdir(parents=True, exist_ok=True)
            noise = torch.randint(50, (32, 32, 3), generator=torch.Generator().manual_seed(i)).byte().numpy()
            noise[..., 0] += red
            Image.fromarray(noise).save(folder / "concepts" / name / f"{i}.png")
    done = in_process(["explain", "run", f"methods=[{','.join(METHODS)}]", "concepts=concepts", *QUICK], folder)
    assert done.returncode == 0 and done.stdout == "run\n", done.stderr
    yield folder
    cache.constants.HF_HOME = before


@pytest.fixture(scope="module")
def found(folder):
    return json.loads((folder / "run" / "explanation.json").read_text())


def test_sums_are_the_logit_less_that_of_the_baseline(folder, found):
    """Computed again here, from the PNGs and the model."""
    run, target = reader.read(folder / "run"), embedded("smallresnet")
    query = to_tensor(run.query)[None]
    index = target(query)[0].argmax()
    pictures = torch.stack([to_tensor(picture) for picture in run.pictures])
    with torch.no_grad():
        grey = target.model(torch.zeros(1, 3, 32, 32))[0, index]
        owed = target(pictures)[:, index] - grey
    saved = load_file(folder / "run" / "explanations" / "maps.safetensors")
    sums = saved["samples/deeplift"].sum((1, 2))
    unit = (owed / sums).mean()  # the null spread
    assert sums.shape == (5,) and torch.allclose(sums * unit, owed, rtol=1e-3)
    metrics = {f"{one['section']}.{one['name']}": one for one in found["metrics"]}
    assert metrics["completeness.total_delta_deeplift"]["value"] < 1e-3
    assert metrics["completeness.total_delta_integrated_gradients"]["value"] < 0.25  # on 16 points
    assert metrics["completeness.total_spread_deeplift"]["value"] == pytest.approx(sums.double().std().item(), rel=1e-4)


def test_every_number_has_its_words_and_its_chance(found):
    sections = ["completeness", "agreement", "faithfulness", "variety", "control", "layout", "concepts", "automatic"]
    assert list(dict.fromkeys(one["section"] for one in found["metrics"])) == [*sections, "units"]
    names = [f"{one['section']}.{one['name']}" for one in found["metrics"]]
    assert len(set(names)) == len(names)
    for one in found["metrics"]:
        assert (one["value"] is None) == bool(one["reason"]), one
        assert (one["null"] is None) == bool(one["null_reason"]), one
        assert one["about"] and one["source"] and "{" not in one["title"] + one["about"] + one["source"]
        assert not str(one["reason"]).startswith("failed"), one
    assert [method["name"] for method in found["methods"]] == METHODS and found["members"] == 5
    assert len(found["pairs"]) == 6 and len(found["units"]) > 200
    ratios = [unit["ratio"] for unit in found["units"]]
    assert ratios == sorted(ratios)
    assert [finding["question"] for finding in found["findings"]][:3] == ["complete", "faithful", "control"]


def test_there_are_maps_of_every_picture(folder):
    below = folder / "run" / "explanations"
    saved = load_file(below / "maps.safetensors")
    for name in METHODS:
        assert saved[f"samples/{name}"].shape == (5, 32, 32) and saved[f"query/{name}"].shape == (1, 32, 32)
        assert {file.name for file in below.glob(f"*-{name}.png")} == {
            f"{stem}-{name}.png" for stem in ("query", "000", "001", "002", "003", "004")
        }


def test_the_page_has_maps_and_the_table_of_methods(folder):
    page = render([reader.read(folder / "run")])
    assert page.count('data-method="deeplift"') == 6 and "Grad-CAM over query" in page
    assert "random maps" in page and "beats random" in page and "sums of attributions over the members" in page.lower()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["layers=[fc]"], "layers=fc: gives no map (N, C, h, w) that the objective depends on; "),
        (["layers=[layer9]"], "layers=layer9: no such layer; "),
    ],
)
def test_a_wrong_layer_is_one_line(folder, words, said):
    done = in_process(["explain", "run", *words, *QUICK], folder)
    assert done.returncode == 2 and f"equidiff: {said}" in done.stderr


def test_methods_that_a_network_does_not_allow(folder):
    options = ("samples=2", "budget.steps=1", "budget.threshold=1e9", "prior.steps=2", "null_samples=4", "device=cpu")
    assert in_process(["run", *options, "hydra.run.dir=conv"], folder).returncode == 0
    done = in_process(["explain", "conv", "methods=[deeplift]", *QUICK], folder)
    assert done.returncode == 2 and "methods=deeplift: not for smallconv: captum has rules" in done.stderr


def test_a_run_without_members_is_one_line(folder):
    options = ("samples=1", "budget.steps=1", "budget.threshold=1e-9", "prior.steps=2", "null_samples=4", "device=cpu")
    assert in_process(["run", *options, "hydra.run.dir=none"], folder).returncode == 0
    done = in_process(["explain", "none", *QUICK], folder)
    assert done.returncode == 2 and "none of its 1 samples is a member on file" in done.stderr
