"""The command as a user meets it: the run directory, streams, exit codes, wrong requests, stops and restarts."""

import csv
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

QUICK = ("samples=2", "batch=2", "budget.steps=2", "prior.steps=2", "null_samples=4")
FILES = {
    ".hydra",
    "grid.png",
    "latents.safetensors",
    "losses.csv",
    "query.png",
    "samples",
    "samples.jsonl",
    "summary.json",
    "unguided",
}


def directory_of(done, tmp_path):
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return tmp_path / line


def records_of(directory):
    return [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One short run, looked at by several tests."""
    folder = tmp_path_factory.mktemp("run")
    done = subprocess.run(
        [sys.executable, "-m", "equidiff_cli.cli", "run", *QUICK, "samples=3", "budget.steps=3"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    return folder, done, directory_of(done, folder)


def test_standard_output_is_the_directory_alone(finished):
    folder, done, directory = finished
    assert done.stdout == f"{directory.relative_to(folder)}\n"
    assert "3 of 3 samples finished" in done.stderr and str(directory / "grid.png") in done.stderr
    assert "\x1b" not in done.stderr, "no control sequences off a terminal"


def test_the_run_directory_is_complete_and_nothing_else(finished):
    _, _, directory = finished
    assert {path.name for path in directory.iterdir()} == FILES
    assert sorted(path.name for path in (directory / "samples").iterdir()) == ["000.png", "001.png", "002.png"]
    assert {path.name for path in (directory / "unguided").iterdir()} == {"000.png", "001.png", "002.png"}


def test_records_hold_what_the_contract_says(finished):
    _, _, directory = finished
    keys = "index seed label status steps nfe restarts seconds loss loss_unfiltered loss_filtered target objective"
    keys += " objective_filtered objective_saved loss_saved on_file distance seen latent_norm file sha256"
    records = records_of(directory)
    assert sorted(record["index"] for record in records) == [0, 1, 2]
    for record in records:
        assert list(record) == keys.split()
        assert record["status"] in ("converged", "budget") and 1 <= record["steps"] <= 3
        assert record["nfe"] == 2 * record["steps"], "two steps of Euler"
        assert record["loss"] == pytest.approx(record["loss_unfiltered"] + record["loss_filtered"], rel=1e-5)
        assert record["file"] == f"samples/{record['index']:03d}.png"


def test_losses_have_a_row_a_sample_and_step(finished):
    _, _, directory = finished
    rows = list(csv.DictReader((directory / "losses.csv").open()))
    assert list(rows[0]) == ["sample", "step", "loss", "loss_unfiltered", "loss_filtered", "grad_norm", "latent_norm"]
    for record in records_of(directory):
        mine = [row for row in rows if int(row["sample"]) == record["index"]]
        assert [int(row["step"]) for row in mine] == list(range(1, record["steps"] + 1))
        assert min(float(row["loss"]) for row in mine) == pytest.approx(record["loss"], rel=1e-5)
        assert mine[-1]["grad_norm"] == "" and all(float(row["grad_norm"]) > 0 for row in mine[:-1])


def test_saved_pictures_are_the_measured_ones(finished):
    """Decoding the latents again gives the files; the target sees in the files what the records say."""
    from equidiff_cli.pictures.convert import to_image, to_tensor
    from equidiff_cli.prior.embedded import Embedded
    from equidiff_cli.target.small import embedded

    _, _, directory = finished
    prior = Embedded(image_size=32, solver="euler", steps=2, shift=1.0).build(torch.device("cpu"), torch.float32)
    latents, target = load_file(directory / "latents.safetensors"), embedded("smallconv")
    query = to_tensor(Image.open(directory / "query.png"))[None]
    with torch.no_grad():
        label = target(query).argmax().item()
        for record in records_of(directory):
            i = record["index"]
            on_file = np.asarray(Image.open(directory / record["file"]), dtype=int)
            for z in (latents["z"][i][None], prior.flow(latents["z_start"][i][None])):
                again = np.asarray(to_image(prior.decode(z)[0]), dtype=int)
                assert np.abs(again - on_file).max() <= 1
            logits = target(to_tensor(Image.open(directory / record["file"]))[None])[0]
            probability, top = logits.softmax(0).max(0)
            by_target = {"class": target.classes[top], "probability": pytest.approx(probability.item(), abs=1e-3)}
            assert record["seen"] == {"smallconv": by_target}
            saved = logits[label].item()
            assert saved == pytest.approx(record["objective_saved"], abs=1e-4)
            assert target(query)[0, label].item() == pytest.approx(record["target"], abs=1e-4)
            assert latents["z_start"][i].norm().item() == pytest.approx(record["latent_norm"], rel=1e-5)


def test_summary(finished):
    _, _, directory = finished
    summary = json.loads((directory / "summary.json").read_text())
    assert sum(summary["counts"].values()) == 3
    assert summary["on_file"] == sum(record["on_file"] for record in records_of(directory))
    assert summary["samples_per_hour"] == pytest.approx(3 * 3600 / summary["wall_seconds"], rel=0.02)
    assert {"equidiff", "torch", "timm", "diffusers"} <= summary["versions"].keys()
    assert all(len(digest) == 64 for digest in summary["weights"].values()) and len(summary["weights"]) == 3
    assert summary["loss_scale"] == pytest.approx(1 / summary["null_spread"])
    assert summary["query_seen"]["smallconv"]["class"] == "cat"
    assert summary["device"] == "cpu" or torch.cuda.is_available()
    assert summary["precision"] in ("fp32", "bf16") and summary["peak_memory_mib"] > 100


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(finished, equidiff, tmp_path):
    _, _, first = finished
    again = directory_of(equidiff("run", *QUICK, "samples=3", "budget.steps=3"), tmp_path)
    other = directory_of(equidiff("run", *QUICK, "samples=3", "budget.steps=3", "seed=1"), tmp_path)
    for name in ("000.png", "001.png", "002.png"):
        bytes_of = [(d / "samples" / name).read_bytes() for d in (first, again, other)]
        assert bytes_of[0] == bytes_of[1] != bytes_of[2]
    assert (first / "latents.safetensors").read_bytes() == (again / "latents.safetensors").read_bytes()


def test_a_killed_run_goes_on_to_the_same_files(equidiff, stopped, tmp_path):
    arguments = ["run", *QUICK, "samples=5", "budget.steps=4"]
    reference = directory_of(equidiff(*arguments), tmp_path)
    stopped(*arguments, "hydra.run.dir=killed", file="killed/samples.jsonl", number=signal.SIGKILL)
    assert not (tmp_path / "killed" / "summary.json").exists(), "it finished before it could be killed"
    resumed = directory_of(equidiff(*arguments, "hydra.run.dir=killed"), tmp_path)
    assert {path.name for path in resumed.iterdir()} == FILES
    for name in ("losses.csv", "latents.safetensors", "grid.png", *(f"samples/{i:03d}.png" for i in range(5))):
        assert (resumed / name).read_bytes() == (reference / name).read_bytes(), name


def test_sigterm_saves_and_says_so(equidiff, stopped, tmp_path):
    arguments = ["run", *QUICK, "samples=40", "budget.steps=6", "hydra.run.dir=stopped"]
    code, out, err = stopped(*arguments, file="stopped/losses.csv", number=signal.SIGTERM)
    assert code == 143 and out == "" and "SIGTERM, state saved" in err
    assert (tmp_path / "stopped" / ".state" / "state.safetensors").exists()
    refused = equidiff(*arguments, "seed=7")
    assert refused.returncode == 2 and "seed=7" in refused.stderr and "begun with 0" in refused.stderr
    assert (tmp_path / "stopped" / ".state" / "state.safetensors").exists(), "a refused request destroys nothing"


def test_a_refused_request_leaves_the_record_of_the_earlier_run(equidiff, tmp_path):
    directory = directory_of(equidiff("run", *QUICK, "hydra.run.dir=kept"), tmp_path)
    before = {file.name: file.read_bytes() for file in (directory / ".hydra").iterdir()}
    refused = equidiff("run", *QUICK, "hydra.run.dir=kept", "seed=3")
    assert refused.returncode == 2 and "seed=3: the run in" in refused.stderr
    assert {file.name: file.read_bytes() for file in (directory / ".hydra").iterdir()} == before


def test_flags_may_stand_anywhere(equidiff, tmp_path):
    done = equidiff("run", *QUICK, "-m", "seed=1,2")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, done.stderr


@pytest.mark.parametrize("words", [("--info", "samples=3"), ("samples=3", "-i", "config")])
def test_a_flag_whose_value_may_be_left_out_takes_no_override_for_it(equidiff, words):
    done = equidiff("run", *words)
    assert done.returncode == 0 and "\nsamples: 3\n" in done.stdout, done.stderr


def test_an_objective_that_never_changes(equidiff, tmp_path):
    (tmp_path / "mine.py").write_text("def zero(target, query):\n    return lambda x: x[:, :1, 0, 0] * 0\n")
    own = ("objective=function", "objective._target_=mine.zero")
    done = equidiff("run", *QUICK, *own)
    assert done.returncode == 2 and "spread over unguided samples is 0.0; give a number" in done.stderr
    assert not (tmp_path / "outputs").exists()
    done = equidiff("run", *QUICK, *own, "loss_scale=1")
    assert done.returncode == 0 and records_of(directory_of(done, tmp_path))[0]["status"] == "converged"


def test_an_objective_of_the_wrong_shape(equidiff, tmp_path):
    (tmp_path / "mine.py").write_text("def flat(target, query):\n    return lambda x: x.mean((1, 2, 3))\n")
    done = equidiff("run", *QUICK, "objective=function", "objective._target_=mine.flat")
    assert done.returncode == 2 and "must give values (N, K)" in done.stderr


def test_a_finished_run_is_left_as_it_is(equidiff, tmp_path):
    arguments = ("run", *QUICK, "hydra.run.dir=done")
    directory = directory_of(equidiff(*arguments), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    assert equidiff(*arguments, "batch=1").stdout == "done\n"
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before
    assert not (directory / ".state").exists()


def test_a_sweep_names_every_directory(equidiff, tmp_path):
    done = equidiff("run", "-m", *QUICK, "filter.cutoff=0.2,0.6", "optimizer=sgd,shampoo")
    assert done.returncode == 0, done.stderr
    directories = [tmp_path / line for line in done.stdout.splitlines()]
    assert len(set(directories)) == 4
    assert all((directory / "summary.json").exists() for directory in directories)


def test_a_query_from_standard_input_and_odd_names(equidiff, tmp_path):
    picture = Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 20).convert("RGB")
    picture.save(tmp_path / "a=b, (1) [x].png")
    data = (tmp_path / "a=b, (1) [x].png").read_bytes()
    named = directory_of(equidiff("run", *QUICK, 'query="a=b, (1) [x].png"'), tmp_path)
    process = subprocess.run(
        [sys.executable, "-m", "equidiff_cli.cli", "run", *QUICK, "query=-"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        input=data,
        capture_output=True,
    )
    piped = tmp_path / process.stdout.decode().strip()
    assert (piped / "query.png").read_bytes() == (named / "query.png").read_bytes()


def test_a_users_own_function(equidiff, tmp_path):
    (tmp_path / "mine.py").write_text("def redness(target, query):\n    return lambda x: x[:, :1].mean((2, 3))\n")
    done = equidiff("run", *QUICK, "objective=function", "objective._target_=mine.redness")
    directory = directory_of(done, tmp_path)
    red = np.asarray(Image.open(directory / "query.png"))[..., 0].mean() / 255
    assert records_of(directory)[0]["target"] == pytest.approx(red, abs=1e-5)


WRONG = {
    "no command": ([], "usage: equidiff <command>"),
    "unknown command": (["rnu"], "rnu: no such command; use one of run"),
    "unknown key": (["run", "sampels=3"], "sampels: no such key; use one of|nearest.*samples"),
    "unknown key in a group": (["run", "filter.cutof=3"], "filter.cutof: no such key.*filter.cutoff"),
    "key of another option": (
        ["run", "filter.order=4"],
        "filter.order: the chosen option of filter has no such key, only filter=butterworth",
    ),
    "no key": (["run", "dog.jpg"], "dog.jpg: no key; give key=value, such as query=dog.jpg"),
    "quotes": (["run", "query=a'b"], "query=a'b: not understood; values with .* must be quoted twice"),
    "unknown group": (["run", "filters=gaussian"], "filters: no such key.*filter"),
    "no such module": (
        ["run", "target=function", "target._target_=equidiff_cli.nope.Foo"],
        "target._target_=equidiff_cli.nope.Foo: No module named",
    ),
    "unknown option": (["run", "objective=logitt"], "objective=logitt: use one of.*logit"),
    "key of the budget": (["run", "budget.step=3"], "budget.step: no such key; use one of budget.patience"),
    "added key": (["run", "+sampels=3"], "sampels: no such key; the nearest of 33 names are samples"),
    "number for an option": (["run", "optimizer=3"], "optimizer=3: use one of adam, gauss_newton, polyak, sgd"),
    "sweep without -m": (["run", "seed=1,2"], "seed=1,2: several values; -m sweeps over them"),
    "unknown flag": (["run", "--dry-run"], "--dry-run: no such option; values are given as key=value, run --help"),
    "wrong value of a flag": (["run", "--cfg", "nope"], "--cfg/-c: invalid choice: 'nope'"),
    "wrong type": (["run", "samples=many"], "samples=many: must be a whole number"),
    "wrong type of number": (["run", "budget.threshold=low"], "budget.threshold=low: must be auto or a number"),
    "no samples": (["run", "samples=0"], "samples=0: must be a whole number at least 1"),
    "negative samples": (["run", "samples=-1"], "samples=-1: must be a whole number at least 1"),
    "no steps": (["run", "budget.steps=0"], "budget.steps=0: must be a whole number at least 1"),
    "no solver steps": (["run", "prior.steps=0"], "prior.steps=0: must be a whole number at least 1"),
    "half a solver step": (["run", "prior.steps=1.5"], "prior.steps=1.5: must be a whole number"),
    "no threshold": (["run", "budget.threshold=0"], "budget.threshold=0: must be auto or a number above 0"),
    "negative batch": (["run", "batch=-2"], "batch=-2: must be auto or a whole number at least 1"),
    "batch as a word": (["run", "batch=many"], "batch=many: must be auto or a whole number at least 1"),
    "checkpoint": (
        ["run", "checkpoint=some"],
        "checkpoint=some: must be auto, all, none or a whole number at least 0 and at most 4",
    ),
    "more than all": (["run", "checkpoint=11"], "checkpoint=11: must be auto, all, none or .* at most 4"),
    "no gradient": (["run", "gradient_steps=0"], "gradient_steps=0: must be all or a whole number at least 1 and at m"),
    "negative seed": (["run", "seed=-1"], "seed=-1: must be a whole number at least 0"),
    "cutoff": (["run", "filter.cutoff=1.5"], "filter.cutoff=1.5: must be a number at least 1e-06 and at most 1"),
    "no cutoff": (["run", "filter.cutoff=0"], "filter.cutoff=0: must be a number at least 1e-06 and at most 1"),
    "cutoff as a word": (["run", "filter.cutoff=half"], "filter.cutoff=half: must be a number at least 1e-06"),
    "solver": (["run", "prior.solver=rk45"], "prior.solver=rk45: use one of euler, heun"),
    "image size": (["run", "prior.image_size=64"], "prior.image_size=64: use one of 32"),
    "precision": (["run", "precision=int8"], "precision=int8: use one of auto, fp32, bf16, fp16"),
    "device": (["run", "device=cuda:99"], "device=cuda:99: not on this machine; use auto or one of cpu"),
    "device word": (["run", "device=gpu"], "device=gpu: no such device; use auto, cpu, cuda"),
    "loss scale": (["run", "loss_scale=-1"], "loss_scale=-1: must be auto or a number above 0"),
    "loss scale as a word": (["run", "loss_scale=abc"], "loss_scale=abc: must be auto or a number above 0"),
    "class": (
        ["run", "objective.label=unicorn"],
        "objective.label=unicorn: smallconv has no such class; use one of a",
    ),
    "class number": (
        ["run", "objective.label=10"],
        "objective.label=10: must be a whole number.*at most 9",
    ),
    "labels": (["run", "objective=logits", "objective.labels=[]"], r"objective.labels=\[\]: must be all or a list"),
    "same class": (
        ["run", "objective=margin", "objective.label=3", "objective.against=cat"],
        "against=cat: must be a",
    ),
    "layer": (["run", "objective=neuron", "objective.layer=layer9"], "objective.layer=layer9: .*nearest.*layer"),
    "channel": (["run", "objective=neuron", "objective.channel=999"], "objective.channel=999: must be a whole.*255"),
    "position": (["run", "objective=neuron", "objective.position=[99,0]"], "objective.position=99: must be.*at most"),
    "short position": (
        ["run", "objective=neuron", "objective.position=[1]"],
        r"objective.position=\[1\]: must be 2 n",
    ),
    "kl of logits": (["run", "distance=kl"], "distance=kl: needs .*objective=probability objective.label=all$"),
    "kl of one probability": (["run", "distance=kl", "objective=probability"], "distance=kl: needs probabilities"),
    "cosine of one value": (["run", "distance=cosine"], "distance=cosine: "),
    "missing value": (["run", "target=timm"], "target.name: has no default"),
    "timm name": (
        ["run", "target=timm", "target.name=resnet5O"],
        "target.name=resnet5O: timm has no such.*resnet50",
    ),
    "timm weights": (
        ["run", "target=timm", "target.name=resnet18", "target.weights=no.pth"],
        "target.weights=no.pth: no such",
    ),
    "own function": (["run", "objective=function", "objective._target_=no.such"], "objective._target_=no.such: "),
    "missing query": (["run", "query=nothing.png"], "query=nothing.png: no such file.*cat"),
    "unquoted name": (["run", "query=a=b.png"], "query=a=b.png: .*quoted"),
    "optimizer": (["run", "optimizer=sgd", "optimizer.lr=-1"], "optimizer.lr=-1: must be a number above 0"),
    "optimizer option": (["run", "optimizer=sgdd"], "optimizer=sgdd: use one of adam, gauss_newton, polyak"),
    "optimizer key of another": (
        ["run", "optimizer=sgd", "optimizer.epsilon=1"],
        "optimizer.epsilon: .* has no such key",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests_get_one_line_and_leave_nothing(equidiff, tmp_path, name):
    arguments, expected = WRONG[name]
    done = equidiff(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert re.search(expected, done.stderr), done.stderr
    if arguments:
        assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("equidiff: ")
    assert list(tmp_path.iterdir()) == []


def test_an_own_option_that_is_no_yaml_is_named_with_its_line(equidiff, tmp_path):
    file = tmp_path / "conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\nfilter: [\n")
    done = equidiff("run", "--config-dir", "conf", "experiment=mine")
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"equidiff: conf/experiment/mine.yaml, line 3: not understood as YAML: .*\n", done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]


def test_a_help_page_may_be_closed_before_its_end(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "equidiff_cli.cli", "run", "--help"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == 128 + signal.SIGPIPE and done.stderr == ""


@pytest.mark.parametrize("make", ["a file in the way", "a file above"])
def test_an_output_directory_that_cannot_be_made(equidiff, tmp_path, make):
    (tmp_path / "file").write_text("mine")
    done = equidiff("run", *QUICK, "hydra.run.dir=file" + ("" if make == "a file in the way" else "/below"))
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert "hydra.run.dir" in done.stderr and (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_one_line_and_exit_1(equidiff, tmp_path):
    """A limit on the size of files stands for the disk: the first picture does not fit."""
    code = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
    code += "from equidiff_cli.cli import main; sys.argv[0] = 'equidiff'; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", *QUICK, "hydra.run.dir=full"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (1, 2) and done.stdout == ""
    assert "Traceback" not in done.stderr and "hydra.run.dir" in done.stderr
    left = {path.name for path in (tmp_path / "full").rglob("*") if path.is_file() and path.stat().st_size > 0}
    assert not any(name.endswith(".png") or ".part" in name for name in left), left


def test_help_and_version_answer_without_torch(equidiff, process):
    for arguments in (["--help"], ["run", "--help"], ["--version"]):
        done = process(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
        assert done.returncode == 0 and done.stdout
        assert " torch" not in done.stderr and " hydra" not in done.stderr
    help_text = equidiff("--help").stdout
    words = ("objective=", "* logit", "filter.cutoff=0.5", "samples=8", "query=cat")
    for word in (*words, "hydra.run.dir=", "hydra.sweep.dir=", "--config-dir ", "_target_="):
        assert word in help_text, word


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("equidiff ", "run"),
        ("equidiff r", "run"),
        ("equidiff run objective=", "objective=logit"),
        ("equidiff run filter=g", "filter=gaussian"),
        ("equidiff run filter.c", "filter.cutoff="),
        ("equidiff report out", "output="),
        ("equidiff report out", "outputs/"),
    ],
)
def test_completion(equidiff, monkeypatch, tmp_path, line, expected):
    (tmp_path / "outputs").mkdir()
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    done = equidiff("-sc", "query=bash")
    assert done.returncode == 0 and expected in done.stdout.split(), (done.stdout, done.stderr)


def test_what_a_users_code_prints_goes_to_standard_error(process, tmp_path):
    """As it is imported, built, called, ended; by Python, below it, and by C, whose buffer is written at the end."""
    (tmp_path / "noisy.py").write_text(
        "import atexit, ctypes, os, sys, torch\nprint('=> imported')\natexit.register(print, '=> ended')\n"
        "class Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        print('=> built')\n        os.system('echo from a shell')\n"
        "        ctypes.CDLL(None).puts(b'from C')\n        print('to the original', file=sys.__stdout__)\n"
        "    def forward(self, x):\n        print('=> called')\n        return x.mean((2, 3))\n"
    )
    words = ("run", *QUICK, "samples=1", "target=function", "target._target_=noisy.Net", "hydra.run.dir=out")
    done = process(*words)
    assert (done.returncode, done.stdout) == (0, "out\n"), done.stderr
    for said in ("=> imported", "=> ended", "=> built", "=> called", "from a shell", "from C", "to the original"):
        assert said in done.stderr
