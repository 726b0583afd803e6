"""Activation: its penalties and spaces against closed forms, its gradient against finite differences, runs."""

import json
from types import SimpleNamespace

import pytest
import torch

from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import Plan
from equidiff_cli.engine.slots import Slots
from equidiff_cli.methods.activation import Activation
from equidiff_cli.methods.events import Finished
from equidiff_cli.parts.distances import SquaredL2
from equidiff_cli.parts.questions import Invariance

OPTIONS = dict(space="fourier", lr=0.05, tv=0.1, frequency=1.0, jitter=1)
NO_PRIOR = SimpleNamespace(device=torch.device("cpu"), filed=lambda x: x)


def method(steps=30, threshold=1e-4, side=8, **changes):
    made = Activation(steps, threshold, **OPTIONS | changes)
    made.prepare(torch.zeros(1, 3, side, side), None)
    return made


def question(value=0.7):
    """The brightness, without one of the corners."""
    return Invariance(
        lambda x: x[..., 1:].mean((1, 2, 3))[:, None], SquaredL2(), lambda x: 0.9 * x, torch.full((1, 3, 8, 8), value)
    )


def draw(one, samples=3, size=8, batch=8, asked=None):
    slots = Slots([(i, 10 + i) for i in range(samples)], size, "cpu")
    events = list(one(NO_PRIOR, asked or question(), slots, Memory(Plan(batch, 1, 1))))
    return {event.index: event for event in events if isinstance(event, Finished)}


def test_coefficients_are_those_of_waves_weighed_by_their_period():
    one = method(side=16)
    w = torch.zeros(1, 6, 16, 9)
    w[0, 0, 0, 3] = 2.0  # the real part of three waves across, of the red channel
    wave = torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16)
    expected = 2 * 2.0 * (16 / 3) / 16 / 4 * wave  # both signs of the frequency; 1 / f; orthonormal; a quarter
    x = one.picture(w)
    assert torch.allclose(x[0, 0], expected.sigmoid().expand(16, 16), atol=1e-5)
    assert torch.allclose(x[0, 1:], torch.tensor(0.5))
    assert torch.equal(method(space="pixels").picture(w[:, :3]), w[:, :3].sigmoid())


def test_penalties_of_an_edge_and_of_a_checkerboard():
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1.0
    variation = method(frequency=0.0, tv=1.0).penalty(edge).item()
    assert variation == pytest.approx(1 / 7, abs=1e-3), "one of seven steps across is an edge"
    board = ((torch.arange(8)[:, None] + torch.arange(8)) % 2).float().expand(1, 3, 8, 8)
    fine, smooth = (method(frequency=1.0, tv=0.0).penalty(x).item() for x in (board, torch.full_like(board, 0.3)))
    assert smooth == pytest.approx(0, abs=1e-9) and 0.2 < fine <= 0.25 + 1e-6, "nearly all of its variance"


def test_the_gradient_is_that_of_loss_and_penalties():
    one, asked = method(jitter=0), question()
    w = torch.randn(2, 6, 8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    measured, gradient = one.measure(NO_PRIOR, asked, w, [1, 2], [0, 0])

    def total(w):
        x = one.picture(w)
        unfiltered, filtered, *_ = asked(x)
        return unfiltered + filtered + one.penalty(x)

    direction = torch.randn(w.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    numeric = (total(w + 1e-3 * direction) - total(w - 1e-3 * direction)) / 2e-3
    assert torch.allclose((gradient * direction).sum((1, 2, 3)), numeric, rtol=1e-2)
    assert torch.allclose(measured["penalty"], one.penalty(one.picture(w)))


def test_jitter_moves_every_sample_by_chance_of_its_own():
    one, x = method(jitter=2), torch.rand(4, 3, 8, 8)
    moved = one.shifted(x, [1, 2, 3, 4], [0, 0, 0, 0])
    assert torch.equal(moved[1], one.shifted(x[1:2], [2], [0])[0])
    assert torch.equal(moved.sort(-1)[0].sort(-2)[0].sum(), x.sort(-1)[0].sort(-2)[0].sum()) or torch.allclose(
        moved.sum((1, 2, 3)), x.sum((1, 2, 3))
    )
    assert not torch.equal(moved, x) and not torch.equal(one.shifted(x, [1, 2, 3, 4], [1] * 4), moved)


@pytest.mark.parametrize("space", ["fourier", "pixels"])
def test_the_value_is_reached_and_no_sample_depends_on_its_neighbours(space):
    together = draw(method(80, space=space, jitter=1), samples=4)
    alone = draw(method(80, space=space, jitter=1), samples=4, size=3, batch=2)
    for i, one in together.items():
        assert one.evaluations == 0 and one.status in ("converged", "budget")
        assert torch.allclose(one.best["picture"], alone[i].best["picture"], atol=1e-4) and one.steps == alone[i].steps
        assert (one.best["objective"] - 0.7).abs() < 0.1 < (one.best["picture"].mean() - 0.5).abs()
    assert not torch.equal(together[0].best["picture"], together[1].best["picture"])


def test_points_are_refused():
    with pytest.raises(ValueError, match=r"^method=activation: makes pictures; this prior makes points"):
        Activation(3, 1e-3, **OPTIONS).prepare(torch.zeros(1, 2, 1, 1), None)


SHORT = ("method=activation", "prior=embedded", "prior.steps=1", "null_samples=8", "samples=3", "device=cpu", "batch=2")


def test_a_run_that_is_stopped_goes_on_to_the_same_bytes_and_is_evaluated(tmp_path, stopped_once, equidiff):
    alone = stopped_once(7, *SHORT, "budget.steps=4")
    record = json.loads((alone / "samples.jsonl").read_text().splitlines()[0])
    assert record["nfe"] == 0 and record["latent_norm"] is None and record["penalty"] > 0
    assert not (alone / "latents.safetensors").exists()
    assert not (alone / "unguided").exists()
    done = equidiff("run", *SHORT, "budget.steps=2", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    done = equidiff("evaluate", "run", "null_samples=16", "likelihood=0", "heldout=[]", "typical=0")
    assert done.returncode == 0, done.stderr
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["warnings"] == []
    reasons = {metric["name"]: metric["reason"] for metric in evaluation["metrics"]}
    assert reasons["typicality"] == "the method starts from no noise"
    assert equidiff("report", "run").returncode == 0


def test_with_raise_it_is_activation_maximisation(equidiff, tmp_path):
    done = equidiff("run", *SHORT, "budget.steps=12", "question=raise", "hydra.run.dir=up", "samples=1")
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "up" / "losses.csv").read_text().splitlines()[1:]
    losses = [float(row.split(",")[2]) for row in rows]
    assert losses[-1] < losses[0], "it rises"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("near=0.3", "near=0.3: the chosen method takes no near"),
        ("method.space=wavelets", "method.space=wavelets:"),
        ("method.lr=0", "method.lr=0: must be"),
        ("method.jitter=0.5", "method.jitter=0.5: must be"),
        ("method.tv=-1", "method.tv=-1: must be"),
        ("optimizer=sgd", "optimizer=sgd: the chosen method takes no optimizer"),
    ],
)
def test_what_it_cannot_do_is_said_in_a_line(equidiff, word, said):
    done = equidiff("run", *SHORT, word)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(f"equidiff: {said}"), done.stderr
