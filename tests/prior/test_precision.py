"""prior=auto, TF32, compile: choices that are made once, outside the models."""

import os

import pytest
import torch

from equidiff_cli.engine.device import exact, name_of, set_tf32
from equidiff_cli.request import auto


@pytest.mark.parametrize(
    ("arguments", "cuda", "taken"),
    [
        ([], True, "lightningdit_xl"),
        ([], False, "embedded"),
        (["device=cpu"], True, "embedded"),
        (["device=cuda:1"], True, "lightningdit_xl"),
        (["device=cpu", "device=cuda"], True, "lightningdit_xl"),
        (["device=cuda"], False, "embedded"),
    ],
)
def test_auto(monkeypatch, arguments, cuda, taken):
    monkeypatch.setenv(auto.VARIABLE, "before")
    monkeypatch.setattr(auto, "cuda", lambda: cuda)
    auto.settle(arguments)
    assert os.environ[auto.VARIABLE] == taken


def test_auto_agrees_with_torch():
    assert auto.cuda() == torch.cuda.is_available()


def test_auto_stands_for_its_choice_with_its_keys(monkeypatch):
    from equidiff_cli.request.schema import composed

    for name, key in (("embedded", "prior.steps=3"), ("lightningdit_xl", "prior.network=mine.pt")):
        monkeypatch.setenv(auto.VARIABLE, name)
        assert composed(key) == composed(key, f"prior={name}")


@pytest.fixture
def flags():
    """TF32 as it was before the test."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    yield lambda: [backend.allow_tf32 for backend in backends]
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed


def test_tf32_is_what_was_asked_and_never_on_while_measuring(flags):
    set_tf32(True, torch.device("cuda"))
    assert flags() == [True, True]
    with exact():
        assert flags() == [False, False]
    assert flags() == [True, True]
    set_tf32(False, torch.device("cpu"))
    assert flags() == [False, False]
    with pytest.raises(ValueError, match="tf32=true: only CUDA devices have it, this run is on cpu"):
        set_tf32(True, torch.device("cpu"))


def test_names_of_devices():
    assert name_of(torch.device("cpu")) == "cpu" and name_of(torch.device("mps")) == "mps"


def test_wrong_switches_are_one_line(equidiff):
    for argument, message in (
        ("compile=maybe", "equidiff: compile=maybe: must be true or false"),
        ("tf32=true", "equidiff: tf32=true: only CUDA devices have it, this run is on cpu; use tf32=false"),
    ):
        done = equidiff("run", argument, "device=cpu")
        assert done.returncode == 2 and done.stderr.strip() == message
