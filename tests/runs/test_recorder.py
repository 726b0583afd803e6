"""What is recorded of a saved picture: its loss as rounded to 8 bits, and whether that is still below the threshold."""

from types import SimpleNamespace

import pytest
import torch

from equidiff_cli.methods.events import Finished
from equidiff_cli.parts.distances import SquaredL2
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.runs.recorder import Recorder
from equidiff_cli.runs.writer import RunDir

GREY = 100 / 255  # what a file can hold


def brightness(x):
    return 255 * x.mean((1, 2, 3))[:, None]


def lowpass(x):
    """Takes a grey v to 0.51 v + 50."""
    return 0.51 * x + 50 / 255


@pytest.fixture
def recorder(tmp_path):
    """Of a question that a grey of 100 answers up to the second term: that is off by 1, a loss of 2."""
    run = RunDir(tmp_path, Pictures())
    run.open({})
    question = Invariance(brightness, SquaredL2(), lowpass, torch.full((1, 3, 4, 4), GREY))
    question.scale = 2.0
    prior = SimpleNamespace(device=torch.device("cpu"), labels=lambda seeds: [None for _ in seeds])
    seeds, label = [(i, i) for i in range(9)], SimpleNamespace(of=lambda index: None)
    target = SimpleNamespace(classes=())  # sees no class
    parts = SimpleNamespace(
        question=question, prior=prior, target=target, seeds=seeds, label=label, threshold=2.5, method=None
    )
    parts.picture, parts.summary = torch.full((3, 4, 4), GREY), {"query": "grey.png"}
    state = SimpleNamespace(memory=SimpleNamespace(attempt=lambda step: step()))
    yield Recorder(run, parts, state)
    run.lock.close()


def finished(index, grey, status="converged"):
    """A sample of one grey whose loss before rounding is 0."""
    zero, latent = torch.tensor(0.0), torch.zeros(1, 2, 2)
    best = dict.fromkeys(("loss", "loss_unfiltered", "loss_filtered", "objective", "objective_filtered"), zero)
    best |= {"picture": torch.full((3, 4, 4), grey), "z_start": latent, "z": latent.clone()}
    return Finished(index, status, 1, 1, 0.0, best)


def test_on_file_is_the_loss_of_the_rounded_picture_both_terms_of_it(recorder):
    for index, grey in enumerate((GREY, 100.4 / 255, 100.6 / 255)):
        recorder.take(finished(index, grey))
    recorder.take(finished(3, GREY, "budget"))
    recorder.take(finished(4, GREY, "nonfinite"))
    records = recorder.run.records()
    assert [record["loss"] for record in records] == [0] * 5
    off = [2 * ((v - 100) ** 2 + (0.51 * v + 50 - 100) ** 2) for v in (100, 100, 101, 100, 100)]
    assert [record["loss_saved"] for record in records] == pytest.approx(off, rel=1e-4)
    assert [record["on_file"] for record in records] == [True, True, False, True, False]
    assert recorder.lost() == "1 of 3 converged lie outside the threshold after rounding to 8 bits"


def test_nothing_is_said_where_nothing_is_lost(recorder):
    recorder.take(finished(0, GREY))
    recorder.take(finished(1, 0.0, "budget"))
    assert recorder.lost() == ""
    assert [record["on_file"] for record in recorder.run.records()] == [True, False]
