"""What is measured of runs of experiment=circles, and how its networks are trained."""

from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from equidiff_cli.circles import rings
from equidiff_cli.circles.build import CirclesTarget
from equidiff_cli.circles.levelcurve import field_of, trace
from equidiff_cli.circles.networks import Perceptron, PointFlow
from equidiff_cli.circles.plane import EXTENT
from equidiff_cli.parts.objectives import Margin
from scripts.measure import circles as measured
from scripts.train import circles as trained


def test_samples_are_measured_against_the_level_curve():
    objective, query = Margin(CirclesTarget().build(), None, "inside", "outside"), torch.tensor([1.0, 0.0])
    field = field_of(objective)
    lines = trace(field, field(query[None]).item(), EXTENT)
    on_the_curve = torch.from_numpy(np.concatenate(lines)).float()[::25]
    summary = {"query": "boundary", "counts": {"converged": 7}, "wall_seconds": 1.25}
    found = measured.row(objective, query, on_the_curve, summary)
    assert found["query"] == "boundary (1.00, 0.00)" and found["seconds"] == "1.2"
    assert found["converged"] == f"7 of {len(on_the_curve)}"
    median, *_, most = map(float, found["distance (median, 95 %, most)"].split(", "))
    assert median <= most < 1e-4
    moved = measured.row(objective, query, on_the_curve + torch.tensor([0.01, 0.0]), summary)
    assert 1e-4 < float(moved["distance (median, 95 %, most)"].split(", ")[-1]) == pytest.approx(0.01, rel=0.2)


def test_a_training_leaves_the_two_files_of_the_experiment(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["circles", "--out", str(tmp_path)])
    monkeypatch.setattr(trained, "train_flow", partial(trained.train_flow, steps=2, batch=8))
    trained.main()
    states = {file.name: load_file(file) for file in tmp_path.iterdir()}
    assert states.keys() == {"circles_perceptron.safetensors", "circles_flow.safetensors"}
    assert {tensor.dtype for state in states.values() for tensor in state.values()} == {torch.float16}
    flow = states["circles_flow.safetensors"]
    points = torch.from_numpy(rings.training_points()[0]) / EXTENT
    torch.testing.assert_close(flow.pop("latents_mean").flatten().double(), points.mean(0), rtol=0, atol=1e-3)
    torch.testing.assert_close(flow.pop("latents_std").flatten().double(), points.std(0), rtol=0, atol=1e-3)
    PointFlow().load_state_dict(flow)
    network = Perceptron()
    network.load_state_dict(states["circles_perceptron.safetensors"])
    fresh, labels = rings.draw(5000, np.random.default_rng(1))
    right = network(torch.from_numpy(fresh).float()).argmax(1).numpy() == labels
    assert right.mean() > 0.96, "the best possible is 0.977"
