"""equidiff evaluate on a real run: every number that can be is computed again here, from the PNGs and the models."""

import csv
import io
import json
import os
import re
import shutil

import numpy as np
import pytest
import torch
from helpers.command import in_process
from PIL import Image
from safetensors.torch import load_file
from scipy import stats
from scipy.spatial.distance import jensenshannon

from equidiff_cli.commands import evaluate as command
from equidiff_cli.errors import Failed, WrongRequest
from equidiff_cli.prior.embedded import Embedded
from equidiff_cli.request.schema import composed, composing
from equidiff_cli.runs.names import EVALUATIONS_BEGIN
from equidiff_cli.study import cache
from equidiff_cli.target.small import embedded

NULL = 16
QUICK = (f"null_samples={NULL}", "likelihood=2", "probes=2", "likelihood_steps=2", "tolerances=[0.5,2.0]")
QUESTIONS = ["held", "typical", "agreement", "differs", "next"]
SECTIONS = ["invariance", "frequency", "diversity", "realism", "typical", "agreement", "cost"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the run `run`: five samples, few steps, so that none is near."""
    folder = tmp_path_factory.mktemp("evaluate")
    options = ("samples=5", "batch=5", "budget.steps=3", "prior.steps=3", "null_samples=4", "filter.cutoff=0.4")
    assert in_process(["run", *options, "hydra.run.dir=run", "device=cpu"], folder).returncode == 0
    return folder


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """A cache of our own."""
    before = cache.constants.HF_HOME
    cache.constants.HF_HOME = str(tmp_path_factory.mktemp("home"))
    yield cache.constants.HF_HOME
    cache.constants.HF_HOME = before


def evaluate(*runs, options=()):
    """The evaluated directories, by the code of the command in this process."""
    with composing():
        config = composed("device=cpu", *QUICK, *options, command="evaluate")
        return list(command.prepare(config, None, [str(run) for run in runs])())


@pytest.fixture(scope="module")
def evaluation(folder):
    assert evaluate(folder / "run") == [folder / "run"]
    return json.loads((folder / "run" / "evaluation.json").read_text(), parse_constant=pytest.fail)


def copied(run, to):
    """A copy of a run that was not evaluated yet."""
    return shutil.copytree(run, to, ignore=shutil.ignore_patterns("evaluation.json"))


def metrics_of(evaluation):
    return {f"{m['section']}.{m['name']}": m for m in evaluation["metrics"]}


class Again:
    """What the evaluation should find, computed from the files by other means."""

    def __init__(self, run):
        self.records = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
        self.records.sort(key=lambda record: record["index"])
        self.query = read(run / "query.png")[None]
        self.samples = torch.stack([read(run / record["file"]) for record in self.records])
        options = dict(image_size=32, solver="euler", steps=3, shift=1.0)
        prior = Embedded(**options).build(torch.device("cpu"), torch.float32)
        self.null = (prior.unguided(NULL, 16) * 255).round() / 255
        self.target, self.other = embedded("smallconv"), embedded("smallresnet")
        self.label = self.target(self.query)[0].argmax().item()
        self.held = self.logit(self.query)
        self.spread = np.std(self.logit(self.null), ddof=1)
        self.latents = load_file(run / "latents.safetensors")

    @torch.no_grad()
    def logit(self, x):
        return self.target(x)[:, self.label].numpy()

    def errors(self, x):
        return np.abs(self.logit(x) - self.held) / self.spread


def read(file):
    return torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1) / 255


@pytest.fixture(scope="module")
def again(folder):
    return Again(folder / "run")


def test_invariance_is_that_of_the_pngs(evaluation, again):
    found = metrics_of(evaluation)
    mine, theirs = again.errors(again.samples), again.errors(again.null)
    assert evaluation["null_spread"] == pytest.approx(again.spread, rel=1e-4) and evaluation["null_samples"] == NULL
    assert found["invariance.error_median"]["value"] == pytest.approx(np.median(mine), rel=1e-3)
    assert found["invariance.error_median"]["null"] == pytest.approx(np.median(theirs), rel=1e-3)
    assert found["invariance.error_max"]["value"] == pytest.approx(mine.max(), rel=1e-3)
    assert found["invariance.error_median_absolute"]["value"] == pytest.approx(np.median(mine) * again.spread, rel=1e-3)
    for tolerance in (0.5, 2.0):
        success = found[f"invariance.success_{tolerance:g}"]
        assert success["value"] == pytest.approx(np.mean(mine <= tolerance))
        assert success["null"] == pytest.approx(np.mean(theirs <= tolerance))
        assert success["low"] <= success["value"] <= success["high"]
    before = [abs(record["objective"] - record["target"]) for record in again.records]
    assert found["invariance.error_before"]["value"] == pytest.approx(np.median(before) / again.spread, rel=1e-3)
    assert [row["error_spreads"] for row in evaluation["per_sample"]] == pytest.approx(mine.tolist(), rel=1e-3)


def test_invariance_after_jpeg_is_that_of_jpeg_files(evaluation, again):
    found = metrics_of(evaluation)
    for quality in (90, 75):
        again_saved = []
        for picture in again.samples:
            file = io.BytesIO()
            array = (picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            Image.fromarray(array).save(file, "JPEG", quality=quality)
            again_saved.append(read(file))
        expected = np.median(again.errors(torch.stack(again_saved)))
        assert found[f"invariance.jpeg_{quality}"]["value"] == pytest.approx(expected, rel=1e-3)


def test_the_deviation_curve_is_that_of_the_filter(evaluation, again):
    """The gain of the run's filter on the DCT of the pictures, as scipy computes it."""
    from scipy.fft import dctn, idctn

    (curve,) = [curve for curve in evaluation["curves"] if curve["name"] == "deviation"]
    lines = {line["name"]: line for line in curve["lines"]}
    assert set(lines) == {"samples", "unguided", "query"}
    k = np.hypot(*np.meshgrid(np.arange(32) / 32, np.arange(32) / 32))
    for i, cutoff in enumerate(curve["x"]["values"]):
        for name, x in (("samples", again.samples), ("unguided", again.null), ("query", again.query)):
            low = idctn(dctn(x.numpy(), axes=(2, 3)) * np.exp(-0.5 * (k / cutoff) ** 2), axes=(2, 3))
            expected = np.median(again.errors(torch.from_numpy(low).float()))
            assert lines[name]["values"][i] == pytest.approx(expected, rel=1e-2, abs=1e-4)


def test_the_spectrum_is_in_decibels_of_the_brightness(evaluation, again):
    (curve,) = [curve for curve in evaluation["curves"] if curve["name"] == "spectrum"]
    lines = {line["name"]: line["values"] for line in curve["lines"]}
    assert curve["x"]["values"] == pytest.approx([k / 16 for k in range(2, 17)])
    window = np.hanning(33)[:32, None] * np.hanning(33)[:32]
    frequency = np.rint(32 * np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32)))
    for name, x in (("query", again.query), ("samples", again.samples), ("unguided", again.null)):
        grey = np.tensordot(x.numpy().astype(float), [0.299, 0.587, 0.114], axes=(1, 0))
        grey -= (grey * window).sum((1, 2), keepdims=True) / window.sum()
        power = (np.abs(np.fft.fft2(grey * window)) ** 2 / (window**2).sum()).mean(0)
        expected = [10 * np.log10(power[frequency == k].mean()) for k in range(2, 17)]
        assert lines[name] == pytest.approx(expected, abs=1e-3)


def test_diversity_in_pixels(evaluation, again):
    found = metrics_of(evaluation)
    flat = again.samples.flatten(1).numpy()
    distances = [np.sqrt(np.mean((flat[i] - flat[j]) ** 2)) for i in range(5) for j in range(i)]
    assert found["diversity.distance_pixels"]["value"] == pytest.approx(np.mean(distances), rel=1e-4)
    assert found["diversity.nearest_pixels"]["value"] == pytest.approx(np.min(distances), rel=1e-4)
    to_query = np.sqrt(((flat - again.query.flatten(1).numpy()) ** 2).mean(1))
    assert found["diversity.query_pixels"]["value"] == pytest.approx(to_query.mean(), rel=1e-4)
    assert 1 <= found["diversity.vendi_smallresnet"]["value"] <= 5


def test_realism_of_the_noise(evaluation, again):
    found = metrics_of(evaluation)
    squared = again.latents["z_start"].double().flatten(1).square().sum(1).numpy()
    assert found["realism.typicality"]["value"] == pytest.approx(np.mean(squared) / 640, rel=1e-6)
    tails = 2 * np.minimum(stats.chi2.cdf(squared, 640), stats.chi2.sf(squared, 640))
    assert [row["tail"] for row in evaluation["per_sample"]] == pytest.approx(tails.tolist(), rel=1e-5)
    likelihood = found["realism.likelihood"]
    assert likelihood["samples"] == 2 and likelihood["low"] < likelihood["value"] < likelihood["high"]
    assert [row["bits"] is None for row in evaluation["per_sample"]] == [False, False, True, True, True]
    assert "Hutchinson" in likelihood["source"]
    assert found["realism.kernel"]["value"] is None and "needs 32 samples" in found["realism.kernel"]["reason"]


@torch.no_grad()
def test_the_law_of_the_set_is_that_of_weighted_unguided_samples(folder, tmp_path, again):
    """With so few unguided samples the bandwidth has to be wide; the filter is the DCT's, as scipy computes it."""
    from scipy.fft import dctn, idctn

    run = copied(folder / "run", tmp_path / "run")
    evaluate(run, options=["likelihood=0", "bandwidth=5"])
    evaluation = json.loads((run / "evaluation.json").read_text(), parse_constant=pytest.fail)
    found = metrics_of(evaluation)
    k = np.hypot(*np.meshgrid(np.arange(32) / 32, np.arange(32) / 32))
    low = idctn(dctn(again.null.numpy(), axes=(2, 3)) * np.exp(-0.5 * (k / 0.4) ** 2), axes=(2, 3))
    far = np.maximum(again.errors(again.null), again.errors(torch.from_numpy(low).float()))
    weights = np.where(far <= 15, np.exp(-0.5 * (far / 5) ** 2), 0)
    expected = weights.sum() ** 2 / (weights**2).sum()
    assert found["typical.effective"]["value"] == pytest.approx(expected, rel=1e-3) and expected > 8
    for name, x, w in (
        ("probability_smallresnet", again.samples, None),
        ("probability_smallresnet_set", again.null, weights),
    ):
        p = again.other(x).softmax(1)[:, again.label].numpy()
        assert found[f"typical.{name}"]["value"] == pytest.approx(np.average(p, weights=w), rel=1e-3)
        assert found[f"typical.{name}"]["low"] < found[f"typical.{name}"]["value"] < found[f"typical.{name}"]["high"]
    levels = (again.null * 255).round().numpy()
    shares = ((levels <= 5) | (levels >= 250)).mean((1, 2, 3))
    assert found["typical.saturated_set"]["value"] == pytest.approx(np.average(shares, weights=weights), rel=1e-3)
    assert found["typical.kernel"]["reason"] == "needs 8 samples, there are 5"
    (answer,) = [finding["answer"] for finding in evaluation["findings"] if finding["question"] == "typical"]
    assert f"the set is {expected:.3g} effective samples of 16 unguided ones" in answer


def test_of_a_law_too_little_may_be_known(evaluation):
    found = metrics_of(evaluation)
    assert "at least 8 are needed" in found["typical.effective"]["reason"]
    assert found["typical.probability_smallresnet"]["reason"] == found["typical.effective"]["reason"]


def test_a_run_that_was_not_drawn_by_rejection_is_no_law(folder, tmp_path):
    run = copied(folder / "run", tmp_path / "run")
    with pytest.raises(
        WrongRequest, match=r"^typical=\S+run: was drawn with method\._target_=\S+Latent; give a run of"
    ):
        evaluate(run, options=["likelihood=0", f"typical={folder / 'run'}"])


@torch.no_grad()
def test_agreement_of_both_networks(evaluation, again):
    found = metrics_of(evaluation)
    shares = []
    for key, network in (("target", again.target), ("smallresnet", again.other)):
        same = network(again.samples).argmax(1) == network(again.query).argmax()
        shares.append(same.double().mean().item())
        assert found[f"agreement.class_{key}"]["value"] == pytest.approx(shares[-1])
        classes = [network.classes[i] for i in network(again.samples).argmax(1)]
        assert [row[f"class_{key}"] for row in evaluation["per_sample"]] == classes
        logits = [network(x)[:, again.label].numpy() for x in (again.samples, again.query, again.null)]
        expected = np.median(np.abs(logits[0] - logits[1])) / np.std(logits[2], ddof=1)
        assert found[f"agreement.logit_{key}"]["value"] == pytest.approx(expected, rel=1e-3)
    assert found["agreement.gap_smallresnet"]["value"] == pytest.approx(shares[0] - shares[1])


def test_cost_counts_successes_on_the_pngs(evaluation, again, folder):
    found, summary = metrics_of(evaluation), json.loads((folder / "run" / "summary.json").read_text())
    good = (again.errors(again.samples) <= 0.5).sum()
    chance = (again.errors(again.null) <= 0.5).mean()
    if good:
        assert found["cost.nfe"]["value"] == pytest.approx(sum(record["nfe"] for record in again.records) / good)
        assert found["cost.seconds"]["value"] == pytest.approx(summary["wall_seconds"] / good)
        assert found["cost.nfe"]["null"] == (pytest.approx(6 / chance) if chance else None)
    else:
        assert "no sample is within 0.5" in found["cost.nfe"]["reason"]
    assert found["cost.memory"]["value"] == summary["peak_memory_mib"]


def test_the_form_of_the_file(evaluation):
    assert evaluation["format"] == 1 and evaluation["complete"] is True and evaluation["warnings"] == []
    assert list(dict.fromkeys(m["section"] for m in evaluation["metrics"])) == SECTIONS
    names = [(m["section"], m["name"]) for m in evaluation["metrics"]]
    assert len(set(names)) == len(names)
    for metric in evaluation["metrics"]:
        assert all(isinstance(metric[key], str) and metric[key] for key in ("title", "unit", "source", "about"))
        assert (metric["value"] is None) == (metric["reason"] is not None), metric["name"]
        assert (metric["null"] is None) == (metric["null_reason"] is not None), metric["name"]
        assert metric["better"] in ("lower", "higher", "near 1", None)
    for curve in evaluation["curves"]:
        assert all(len(line["values"]) == len(curve["x"]["values"]) for line in curve["lines"])
    for row in evaluation["per_sample"]:
        assert set(row) == {"index", "file", "status", "on_file", "seen"} | set(evaluation["columns"])
    assert [finding["question"] for finding in evaluation["findings"]] == QUESTIONS
    assert all(set(finding) == {"question", "title", "answer"} for finding in evaluation["findings"])


@torch.no_grad()
def test_every_picture_says_what_the_networks_see(evaluation, again):
    for name, network in (("smallconv", again.target), ("smallresnet", again.other)):
        for x, seen in zip(again.samples, [row["seen"][name] for row in evaluation["per_sample"]], strict=True):
            p = network(x[None]).softmax(1)[0]
            assert seen["class"] == network.classes[p.argmax()]
            assert seen["probability"] == pytest.approx(p.max().item(), rel=1e-4)
        assert set(evaluation["query_seen"]) == {"smallconv", "smallresnet"} == set(evaluation["per_sample"][0]["seen"])
        assert evaluation["query_seen"][name]["class"] == network.classes[network(again.query).argmax()]
    p, q = (network(again.samples).softmax(1).numpy() for network in (again.target, again.other))
    expected = [jensenshannon(*pair, base=2) ** 2 for pair in zip(p, q, strict=True)]
    assert [row["disagreement"] for row in evaluation["per_sample"]] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_saturation_is_that_of_the_pngs(evaluation, again):
    levels = (again.samples * 255).round().numpy()
    shares = ((levels <= 5) | (levels >= 250)).mean((1, 2, 3))
    assert [row["saturated"] for row in evaluation["per_sample"]] == pytest.approx(shares.tolist())
    found = metrics_of(evaluation)["realism.saturated"]
    levels = (again.null * 255).round().numpy()
    assert found["value"] == pytest.approx(shares.mean()) and found["low"] <= found["value"] <= found["high"]
    assert found["null"] == pytest.approx(((levels <= 5) | (levels >= 250)).mean(), abs=1e-4)


def test_shares_and_gaps_have_intervals_and_pixels_no_direction(evaluation):
    for name, metric in metrics_of(evaluation).items():
        if metric["unit"] == "share" and metric["value"] is not None and name != "realism.saturated":
            assert metric["interval"].startswith("95 % ") and metric["low"] < metric["high"], name
        if name.endswith("_pixels"):
            assert metric["better"] is None
        if name.startswith("diversity.vendi_small"):
            assert metric["better"] == "higher"


def test_unguided_samples_are_drawn_once(evaluation, folder, monkeypatch):
    from equidiff_cli.prior.prior import Prior

    monkeypatch.setattr(Prior, "flow", pytest.fail)
    evaluate(folder / "run")
    assert json.loads((folder / "run" / "evaluation.json").read_text()) == evaluation


def test_an_objective_that_is_not_the_recorded_one_is_said(folder, tmp_path):
    run = copied(folder / "run", tmp_path / "run")
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]

    def recorded(more):
        lines[2]["objective_saved"] += more
        (run / "samples.jsonl").write_text("".join(json.dumps(record) + "\n" for record in lines))

    now = lines[2]["objective_saved"]
    recorded(5.0)
    with pytest.raises(WrongRequest, match=r"run: the objective of samples/002\.png is ") as refused:
        evaluate(run, options=["likelihood=0"])
    numbers = re.findall(r"is (\S+), but the run recorded (\S+), \S+ null spreads off", str(refused.value))
    assert [float(number) for number in numbers[0]] == pytest.approx([now, now + 5], abs=1e-3)
    assert not (run / "evaluation.json").exists()
    recorded(0.1 - 5.0)
    evaluate(run, options=["likelihood=0"])
    found = json.loads((run / "evaluation.json").read_text())
    assert found["missing"] == [] and len(found["per_sample"]) == 5
    assert found["warnings"][0].startswith("the objective of 1 unaltered pictures is not what the run recorded (up to ")


def test_a_picture_that_was_replaced_stops_counting_successes(folder, tmp_path):
    run = copied(folder / "run", tmp_path / "run")
    shutil.copy(run / "samples" / "004.png", run / "samples" / "001.png")
    evaluate(run, options=["likelihood=0"])
    found = json.loads((run / "evaluation.json").read_text())
    assert found["missing"] == [{"file": "samples/001.png", "why": "replaced"}]
    assert [row["index"] for row in found["per_sample"]] == [0, 2, 3, 4] and "samples/001.png" in found["warnings"][0]
    assert metrics_of(found)["cost.nfe"]["reason"].endswith("cannot be counted: samples/001.png")


def test_without_its_latents_a_run_says_nothing_of_the_noise(folder, tmp_path):
    run = copied(folder / "run", tmp_path / "run")
    (run / "latents.safetensors").unlink()
    evaluate(run, options=["heldout=[]"])
    found = json.loads((run / "evaluation.json").read_text())
    metrics = metrics_of(found)
    for name in ("typicality", "atypical", "noise_mean", "noise_covariance", "noise_bound", "likelihood"):
        assert metrics[f"realism.{name}"]["reason"] == "latents.safetensors is missing or damaged"
    assert "typicality" not in found["columns"] and metrics["realism.likelihood"]["samples"] == 5


def test_a_single_sample_has_no_pairs_and_no_interval(folder, tmp_path):
    run = copied(folder / "run", tmp_path / "run")
    for i in range(4):
        (run / "samples" / f"00{i}.png").unlink()
    evaluate(run)
    found = metrics_of(json.loads((run / "evaluation.json").read_text(), parse_constant=pytest.fail))
    assert found["invariance.error_median"]["samples"] == 1 and "low" not in found["invariance.error_median"]
    assert found["diversity.distance_pixels"]["reason"] == "needs 2 samples, there is 1"
    assert found["realism.likelihood"]["samples"] == 1


def test_other_weights_are_refused_by_name_and_hash_and_the_others_go_on(folder, tmp_path):
    bad, good = (copied(folder / "run", tmp_path / name) for name in ("bad", "good"))
    summary = json.loads((bad / "summary.json").read_text())
    now = summary["weights"]["prior/autoencoder.safetensors"]
    summary["weights"]["prior/autoencoder.safetensors"] = "0" * 64
    (bad / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(WrongRequest, match=rf"1 of 2 .*autoencoder\.safetensors has SHA-256 {now} .*{'0' * 64}"):
        evaluate(bad, good)
    assert (good / "evaluation.json").exists() and not (bad / "evaluation.json").exists()


def test_what_breaks_in_one_run_does_not_stop_the_others(folder, tmp_path, monkeypatch):
    runs = [copied(folder / "run", tmp_path / name) for name in ("first", "second")]
    real = command.evaluate

    def breaks(case):
        if case.run.path.name == "first":
            raise RuntimeError("out of memory")
        return real(case)

    monkeypatch.setattr(command, "evaluate", breaks)
    with pytest.raises(Failed, match=r"1 of 2 .*first: RuntimeError: out of memory"):
        evaluate(*runs)
    assert (runs[1] / "evaluation.json").exists() and not (runs[0] / "evaluation.json").exists()


def test_a_directory_that_cannot_be_written_to_is_known_before_anything_is_measured(folder, tmp_path, monkeypatch):
    run = copied(folder / "run", tmp_path / "run")
    monkeypatch.setattr("equidiff_cli.commands.several.os.access", lambda path, mode: False)
    monkeypatch.setattr(command, "read", pytest.fail)
    with pytest.raises(WrongRequest, match=r"run: cannot be written to, so evaluation\.json would be lost$"):
        evaluate(run)


def test_a_full_disk_is_one_line(folder, tmp_path, monkeypatch, caplog):
    run = copied(folder / "run", tmp_path / "run")
    monkeypatch.setattr(command, "evaluate", lambda case: {})
    monkeypatch.setattr("equidiff_cli.files.os.fsync", lambda file: os.open(os.devnull + "/none", 0))
    with pytest.raises(Failed, match=r"run: .*Not a directory$"):
        evaluate(run)
    assert "Traceback" not in caplog.text


def test_a_run_without_its_summary_still_has_its_noise(folder, tmp_path):
    run = copied(folder / "run", tmp_path / "run")
    (run / "summary.json").unlink()
    found = command.read(run)
    assert not any("latents" in warning for warning in found.warnings)
    assert torch.equal(found.latents["z"], load_file(run / "latents.safetensors")["z"])


def test_a_sweep_gets_one_table(folder, tmp_path):
    sweep = tmp_path / "sweep"
    for i in range(2):
        copied(folder / "run", sweep / str(i))
    (sweep / "multirun.yaml").touch()
    output = tmp_path / "all.csv"
    output.write_text(EVALUATIONS_BEGIN)  # of an earlier evaluation, which may be replaced
    assert evaluate(sweep, sweep / "1", options=[f"output={output}", "likelihood=0"]) == [sweep / "0", sweep / "1"]
    rows = list(csv.DictReader((sweep / "evaluation.csv").open()))
    assert [row["run"] for row in rows] == [str(sweep / "0"), str(sweep / "1")]
    assert output.read_text() == (sweep / "evaluation.csv").read_text()
    found = metrics_of(json.loads((sweep / "0" / "evaluation.json").read_text()))
    assert float(rows[0]["invariance.error_median"]) == found["invariance.error_median"]["value"]
    assert float(rows[0]["invariance.error_median.unguided"]) == found["invariance.error_median"]["null"]
    assert "switches it off" in found["realism.likelihood"]["reason"] and rows[0]["realism.likelihood"] == ""
    assert "filter.cutoff=0.4" in rows[0]["overrides"]


def test_real_pictures_and_other_heldout_networks(folder, tmp_path):
    run = copied(folder / "run", tmp_path / "run")
    generator = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    real = tmp_path / "real"
    real.mkdir()
    for i in range(4):
        (tmp_path / f"{i}.png").rename(real / f"{i}.png")
    evaluate(run, options=[f"real={real}", "heldout=[]", "likelihood=0"])
    found = json.loads((run / "evaluation.json").read_text())
    (spectrum,) = [curve for curve in found["curves"] if curve["name"] == "spectrum"]
    assert [line["name"] for line in spectrum["lines"]] == ["query", "samples", "unguided", "real"]
    metrics = metrics_of(found)
    assert metrics["frequency.spectral_distance_real"]["value"] > 3, "noise is far from pictures"
    assert metrics["frequency.high_frequency_real"]["value"] < -3
    error = metrics["invariance.error_median"]
    assert error["real"] > 0 and error["augmented"] > 0 and "real" not in metrics["realism.typicality"]
    assert metrics["diversity.query_pixels"]["augmented"] < metrics["diversity.query_pixels"]["real"], (
        "noise is farther"
    )
    assert metrics["frequency.high_frequency_real"]["real"] == pytest.approx(0, abs=1e-4), "they are all of them"
    assert metrics["agreement.gap"]["value"] is None and "heldout" in metrics["agreement.gap"]["reason"]


OTHERS = """
from equidiff_cli.target.small import embedded
from equidiff_cli.target.target import Target


def made(*classes):
    \"""A network on the first outputs of smallconv, which it calls as it likes.\"""
    class First:
        name, files = "first", []
        def __init__(self):
            self.whole = embedded("smallconv")
            self.model = self.whole.model
        def __call__(self, x):
            return self.whole(x)[:, : len(classes)]
    first = First()
    first.classes = classes
    return first


def birds():
    return made("tench", "goldfish", "shark")


def few():
    return made("plane", "automobile", "dicky_bird, Bird", "pussy, Cat")


def no_cat():
    return made("Airplane", "automobile", "bird", "dog")
"""


@pytest.fixture
def own(folder, tmp_path):
    """Evaluates the run with options of the group target that have other classes; (what was done, what was found)."""
    copied(folder / "run", tmp_path / "run")
    (tmp_path / "conf/target").mkdir(parents=True)
    (tmp_path / "heldouts.py").write_text(OTHERS)
    for name in ("birds", "few", "no_cat"):
        (tmp_path / f"conf/target/{name}.yaml").write_text(f"_target_: heldouts.{name}\n")

    def call(*words):
        done = in_process(
            ["evaluate", "run", "--config-dir", "conf", "device=cpu", *QUICK, "likelihood=0", *words], tmp_path
        )
        file = tmp_path / "run" / "evaluation.json"
        return done, json.loads(file.read_text()) if file.exists() else None

    return call


def test_networks_with_other_classes_are_matched_by_name_or_refused(own):
    done, found = own("heldout=[smallresnet,birds]")
    assert done.returncode == 2 and done.stdout == "" and found is None
    refused = "equidiff: heldout=birds: its classes, 3 (tench, goldfish, shark), are others than those of smallconv, 10"
    assert done.stderr.splitlines()[-1].startswith(refused) and "Traceback" not in done.stderr
    done, found = own("heldout=[few]")
    assert done.returncode == 0, done.stderr
    assert "cat, one of 3 classes" in metrics_of(found)["agreement.gap_first"]["about"]
    assert metrics_of(found)["agreement.gap_first"]["value"] == 0, "both are one network on the classes they share"
    assert metrics_of(found)["agreement.logit_first"]["about"] == "The logit of pussy, Cat."
    assert all(row["disagreement"] == pytest.approx(0, abs=1e-9) for row in found["per_sample"])
    seen = [row["seen"]["first"]["class"] for row in found["per_sample"]]
    assert set(seen) <= {"plane", "automobile", "dicky_bird", "pussy"}


def test_there_is_no_gap_where_the_class_of_the_query_is_not_shared(own):
    done, found = own("heldout=[no_cat]")
    assert done.returncode == 0, done.stderr
    gap = metrics_of(found)["agreement.gap_first"]
    assert gap["value"] is None and gap["reason"] == "first has no class cat, which the target sees in the query"
    assert found["findings"][2]["answer"] == f"Cannot be told: {gap['reason']}."


def test_auto_leaves_a_network_with_other_classes_out_and_says_so(own, monkeypatch):
    monkeypatch.setattr("equidiff_cli.study.models.auto", lambda target: (["birds"], None))
    done, found = own()
    assert done.returncode == 0, done.stderr
    assert found["warnings"][0].startswith("heldout=auto: first is left out: its classes, 3 (tench, goldfish, shark)")
    assert metrics_of(found)["agreement.gap"]["reason"].startswith("first was left out: its classes")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("null_samples=1", "null_samples=1: must be a whole number at least 16"),
        ("tolerances=[0]", "tolerances=0"),
        ("cutoffs=[1.5]", "cutoffs=1.5"),
        ("cutoffs=[1e-9]", "cutoffs=1e-09: must be a number at least 1e-06"),
        ("cutoffs=[]", r"cutoffs=\[\]"),
        ("jpeg=[100]", "jpeg=100"),
        ("heldout=[resnet]", "heldout=resnet: .*resnet50"),
        ("heldout=none", "heldout=none"),
        ("heldout=timm", r"heldout=timm: (?!.* timm)(?!.* function)"),
        ("heldout=null", "heldout=None: must be auto, a name or a list"),
        ("heldout=3", "heldout=3: must be auto, a name or a list"),
        ("heldout=[function]", r"heldout=function: (?!.* timm)(?!.* function)"),
        ("real=nowhere", "real=nowhere: there is no such folder"),
        ("output=nowhere/a.csv", "output=nowhere/a.csv"),
        ("probes=1", "probes=1"),
        ("device=tpu", "device=tpu"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(folder, option, said, monkeypatch):
    monkeypatch.setattr(command, "read", pytest.fail)
    with pytest.raises(ValueError, match=said):
        evaluate(folder / "run", options=[option])


def test_the_table_replaces_no_other_file(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "read", pytest.fail)
    run = copied(folder / "run", tmp_path / "run")
    (run / "folder.csv").mkdir()
    for name, said in (
        ("samples.jsonl", "must be a .csv file"),
        ("folder.csv", "must be a .csv file"),
        ("losses.csv", "exists and was not made by equidiff evaluate; choose another name"),
    ):
        with pytest.raises(ValueError, match=f"^output={run / name}: {said}$"):
            evaluate(run, options=[f"output={run / name}"])


def test_a_network_that_cannot_see_pictures_is_no_heldout_one(folder, tmp_path):
    run = copied(folder / "run", tmp_path / "run")
    with pytest.raises(WrongRequest, match="heldout=circles: "):
        evaluate(run, options=["heldout=[circles]", "likelihood=0"])


def test_a_broken_option_of_ones_own_stops_only_who_asks_for_it(folder, tmp_path, monkeypatch):
    (tmp_path / "conf/target").mkdir(parents=True)
    (tmp_path / "conf/target/mine.yaml").write_text("a: [\n")
    own = f"hydra.searchpath=[file://{tmp_path}/conf]"
    run = copied(folder / "run", tmp_path / "run")
    assert evaluate(run, options=[own, "heldout=[smallresnet]", "likelihood=0"]) == [run]
    monkeypatch.setattr(command, "read", pytest.fail)
    with pytest.raises(ValueError, match=r"heldout=mine: (?!.* mine)"):
        evaluate(run, options=[own, "heldout=[mine]"])


def test_as_a_user_calls_it(folder, tmp_path, process, home):
    """Streams, names and the exit code, with a run that cannot be evaluated among the others."""
    name = 'a=b <script>\'"x" [red]'
    copied(folder / "run", tmp_path / name)
    env = {"HF_HOME": home}
    done = process("evaluate", name, "nothing", "device=cpu", *QUICK, "likelihood=0", "cutoffs=[0.5]", env=env)
    assert done.returncode == 2 and done.stdout == f"{name}\n", done.stderr
    assert "nothing: no such directory" in done.stderr.splitlines()[-1]
    assert "null spreads" in done.stderr and "unguided" in done.stderr and "\x1b" not in done.stderr
    for title in ("Held?", "Typical?", "Do other networks agree?", "What differs?", "What next?"):
        assert sum(line.startswith(f"{title} ") for line in done.stderr.splitlines()) == 1
    assert "recall" not in done.stderr and "--all shows the others" in done.stderr
    assert (tmp_path / name / "evaluation.json").exists() and sorted(p.name for p in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize("word", ["--all", "all=true"])
def test_all_numbers_on_request(folder, tmp_path, monkeypatch, word):
    """The words of the command line, down to what is shown; nothing is measured."""
    copied(folder / "run", tmp_path / "run")
    monkeypatch.setattr(command, "evaluate", lambda case: SHOWN)
    monkeypatch.setattr("equidiff_cli.commands.several.Models.case", lambda self, run: None)
    few, everything = (in_process(["evaluate", *words, "run", "device=cpu"], tmp_path) for words in ((), (word,)))
    assert few.returncode == everything.returncode == 0 and few.stdout == everything.stdout == "run\n"
    assert "Held? Yes." in few.stderr and "Held? Yes." in everything.stderr
    assert "the median" in few.stderr and "the largest" not in few.stderr and "1 of 2 numbers" in few.stderr
    assert "the largest" in everything.stderr and "numbers; --all" not in everything.stderr


SHOWN = {
    "complete": True,
    "per_sample": [],
    "findings": [{"question": "held", "title": "Held?", "answer": "Yes."}],
    "metrics": [
        {"section": "invariance", "name": name, "title": title, "value": 1.0, "null": None, "unit": "m", "reason": None}
        for name, title in (("error_median", "the median"), ("error_max", "the largest"))
    ],
}


def test_only_evaluate_takes_that_word(equidiff):
    done = equidiff("run", "--all")
    assert done.returncode == 2 and done.stderr.startswith("equidiff: --all: no such option")
