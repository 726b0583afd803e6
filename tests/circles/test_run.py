"""experiment=circles as a user runs it: do the samples lie on the level curve, and all along it?

The truth is computed here from the weights alone: along each ray from the origin the log-odds fall, so bisection gives
the radius of the level curve at every angle.
"""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from equidiff_cli.commands.run import prepare
from equidiff_cli.request.schema import composed
from equidiff_cli.shipped import WEIGHTS

FILES = {".hydra", "grid.png", "latents.safetensors", "losses.csv", "query.txt", "samples", "samples.jsonl", "unguided"}


def margin(points):
    """The perceptron's log-odds of inside over outside (N,) at points (N, 2), in float64."""
    weights = load_file(WEIGHTS / "circles_perceptron.safetensors")
    for layer in ("0", "2", "4"):
        points = points @ weights[f"{layer}.weight"].T.astype(float) + weights[f"{layer}.bias"].astype(float)
        points = np.tanh(points) if layer != "4" else points
    return points[:, 0] - points[:, 1]


def level_curve(level, angles):
    """The points (N, 2) of the level curve at the angles, by bisection along rays from the origin to the radius 2."""
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    near, far = np.full(len(angles), 0.2), np.full(len(angles), 2.0)
    for _ in range(40):
        middle = (near + far) / 2
        inside = margin(middle[:, None] * rays) > level
        near, far = np.where(inside, middle, near), np.where(inside, far, middle)
    return near[:, None] * rays


@pytest.mark.parametrize("query", ["boundary", "-0.9 0.75"])
def test_samples_lie_on_the_level_curve_and_all_along_it(equidiff, tmp_path, query):
    done = equidiff("run", "experiment=circles", f"query={query}", "hydra.run.dir=run with space")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run with space"
    assert {path.name for path in run.iterdir()} == FILES | {"summary.json"}
    records = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    points = np.stack([np.loadtxt(run / record["file"]) for record in records])
    level = margin(np.loadtxt(run / "query.txt")[None])[0]
    assert level == pytest.approx(records[0]["target"], abs=1e-4)
    saved = [record["objective_saved"] for record in records]
    assert np.allclose(margin(points), saved, atol=1e-4) and len(points) == 64
    assert np.allclose(saved, [record["objective"] for record in records], atol=1e-5), "a text file loses nothing"

    curve = level_curve(level, np.linspace(-math.pi, math.pi, 20_000))
    distance = np.array([np.linalg.norm(curve - point, axis=1).min() for point in points])
    assert np.median(distance) < 0.01 and np.quantile(distance, 0.95) < 0.01

    angle = np.sort(np.arctan2(*points.T[::-1]))
    gaps = np.diff(np.concatenate([angle, angle[:1] + 2 * math.pi]))
    assert gaps.max() < math.pi / 2, "64 even points leave gaps of 0.1 and rarely of 0.6"
    hit = len(np.unique(((angle + math.pi) / (2 * math.pi) * 16).astype(int)))
    assert hit >= 12, "of 16 arcs"
    with Image.open(run / "grid.png") as figure:
        assert min(figure.size) > 400 and len(figure.getcolors(2**24)) > 50


def test_a_killed_run_goes_on_to_the_same_points(equidiff, tmp_path):
    arguments = ["run", "experiment=circles", "samples=24", "batch=3", "query=outer", "null_samples=8"]
    reference = equidiff(*arguments, "hydra.run.dir=whole")
    assert reference.returncode == 0, reference.stderr
    process = subprocess.Popen(
        [sys.executable, "-m", "equidiff_cli.cli", *arguments, "hydra.run.dir=killed"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lines, deadline = tmp_path / "killed" / "samples.jsonl", time.monotonic() + 120
    while not (lines.exists() and lines.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "summary.json").exists(), "it finished before it could be killed"
    resumed = equidiff(*arguments, "hydra.run.dir=killed")
    assert resumed.returncode == 0, resumed.stderr
    for name in ("losses.csv", "latents.safetensors", "grid.png", *(f"samples/{i:03d}.txt" for i in range(24))):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["query=dog.png"], "query=dog.png: not a point"),
        (["query=3 0"], "query=3 0: outside the plane; both numbers must be from -2 to 2"),
        (["target=smallconv"], "target=smallconv: takes 3 channels, but the prior makes 2"),
        (["prior=embedded", "query=cat"], "target=circles: takes 2 channels, but the prior makes 3"),
        (["objective.label=cat"], "objective.label=cat: circles has no such class; use one of inside, outside"),
        (["prior.image_size=32"], "prior.image_size=32: use one of 1"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(tmp_path, overrides, words):
    config = composed("experiment=circles", *overrides)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        prepare(config, tmp_path / "run")
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_a_comma_without_quotes_is_refused_in_one_line(equidiff, tmp_path):
    done = equidiff("run", "experiment=circles", "query=0.9,0.3")
    assert done.returncode == 2 and done.stdout == "" and not (tmp_path / "outputs").exists()
    assert "query=0.9,0.3" in done.stderr and len(done.stderr.splitlines()) == 1
