"""Checkpoints of training programs: which weights are taken, what may stand beside them, and the way out of others."""

import argparse
import datetime
import logging
import pathlib
import re
import shlex

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from equidiff_cli.weights import copies
from equidiff_cli.weights.read import load, read


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 1)


class Inside(nn.Module):
    """A network whose own names begin as those that a program puts before them."""

    def __init__(self):
        super().__init__()
        self.model = Net()


def named(value, before=""):
    return {f"{before}body.weight": torch.full((1, 2), value), f"{before}body.bias": torch.full((1,), value)}


GOOD, RAW = 1.0, 0.0
CHECKPOINTS = {  # what is averaged has the value 1, what is not 0
    "ema": {"model": named(RAW), "ema": named(GOOD), "opt": {"state": {0: {"exp_avg": torch.zeros(1)}}}},
    "state_dict_ema": {"state_dict": named(RAW), "state_dict_ema": named(GOOD), "epoch": 3},
    "model_ema": {"model": named(RAW), "model_ema": named(GOOD)},
    "ema_model": {"model": named(RAW), "ema_model": named(GOOD, "module._orig_mod.")},
    "ema_state_dict": {"state_dict": named(RAW), "ema_state_dict": named(GOOD, "_orig_mod.")},
    "ema_model_state_dict": {"model_state_dict": named(RAW), "ema_model_state_dict": named(GOOD)},
    "inside a field": {"model": named(RAW), "model_ema": {"module": named(GOOD), "decay": 0.9}},
    "params_ema": {"params": named(RAW), "params_ema": named(GOOD)},
    "a number in the name": {"net": named(RAW), "ema_0.9999": named(GOOD)},
    "ModelEMA": {"net": named(RAW), "ModelEMA": named(GOOD)},
    "a list of one": {"net": named(RAW), "emas": [named(GOOD)]},
    "AveragedModel": named(GOOD, "module.") | {"n_averaged": torch.tensor(3)},
    "AveragedModel in a field": {
        "model": named(RAW),
        "swa_model": named(GOOD, "module.") | {"n_averaged": torch.tensor(3)},
    },
    "before the names": {"state_dict": named(RAW, "model.") | named(GOOD, "ema_model.")},
    "before the names, wrapped": named(RAW)
    | named(GOOD, "model_ema.module.")
    | {"model_ema.n_averaged": torch.ones(())},
    "averaged only": {"averaged": named(GOOD), "loss": 0.5},
    "raw, compiled": {"model": named(GOOD, "_orig_mod.module."), "lr": 0.1},
    "raw, of Lightning": {"state_dict": named(GOOD, "model."), "hyper_parameters": {"lr": 0.1}},
    "an average that is empty": {"model": named(GOOD), "model_ema": None, "ema": {}},
}


@pytest.mark.parametrize("content", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_averaged_weights_are_taken_before_raw_ones(tmp_path, content):
    torch.save(content, tmp_path / "file.pt")
    module = load(Net, read(tmp_path / "file.pt", "k"), "k", "file.pt")
    assert {tensor.mean().item() for tensor in module.state_dict().values()} == {GOOD}


def test_averaged_weights_of_safetensors(tmp_path):
    save_file(named(RAW) | named(GOOD, "ema."), tmp_path / "file.safetensors")
    module = load(Net, read(tmp_path / "file.safetensors", "k"), "k", "file")
    assert module.body.bias.item() == GOOD


def test_torch_averages_as_it_saves_them(tmp_path):
    averaged = AveragedModel(Net())
    torch.save(averaged.state_dict(), tmp_path / "file.pt")
    module = load(Net, read(tmp_path / "file.pt", "k"), "k", "file.pt")
    assert torch.equal(module.body.weight, averaged.module.body.weight)


def test_the_choice_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    torch.save(CHECKPOINTS["state_dict_ema"], tmp_path / "file.pt")
    read(tmp_path / "file.pt", "k")
    assert caplog.messages == [f"k={tmp_path}/file.pt: takes the averaged weights, state_dict_ema, not state_dict"]
    caplog.clear()
    load(Net, named(RAW, "model.") | named(GOOD, "ema_model."), "k", "file.pt")
    assert caplog.messages == ["k=file.pt: takes the averaged weights, ema_model"]
    caplog.clear()
    torch.save(named(GOOD), tmp_path / "file.pt")
    load(Net, read(tmp_path / "file.pt", "k"), "k", "file.pt")
    assert caplog.messages == []


@pytest.mark.parametrize("before", ["", "model.", "model.model.", "module.model."])
def test_names_that_are_the_modules_own_stay(tmp_path, before):
    torch.save({"state_dict": named(GOOD, before)}, tmp_path / "file.pt")
    module = load(Inside, read(tmp_path / "file.pt", "k"), "k", "file.pt")
    assert module.model.body.bias.item() == GOOD


def test_a_part_that_is_called_ema_and_belongs_to_the_network_is_no_average():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.online, self.ema = Net(), Net()

    state = named(RAW, "online.") | named(GOOD, "ema.")
    assert load(Two, state, "k", "f").online.body.bias.item() == RAW


@pytest.mark.parametrize(
    ("state", "build", "said"),
    [
        (named(GOOD, "backbone."), Net, "the file has them with backbone. before"),
        (named(GOOD, "model.") | {"loss.weight": torch.ones(1)}, Net, "the file has them with model. before"),
        (named(GOOD) | {"loss.weight": torch.ones(1)}, Inside, "the file has them without model. before"),
        (named(GOOD, "a.b."), Inside, "the file has them with a.b. before"),
    ],
)
def test_missing_names_that_differ_in_what_stands_before_them(state, build, said):
    if said.endswith("a.b. before"):
        state = {name.replace("a.b.", "a.b.model."): tensor for name, tensor in state.items()}
    with pytest.raises(ValueError, match=rf"does not fit, missing: .*body.weight.*; {re.escape(said)}$"):
        load(build, state, "k", "file.pt")


def test_missing_names_without_such_a_reason_are_only_listed():
    with pytest.raises(ValueError) as error:
        load(Net, {"head.scale": torch.ones(1)}, "k", "file.pt")
    assert str(error.value) == "k=file.pt: does not fit, missing: body.weight, body.bias; unexpected: head.scale"


class Windows:
    """As a path is saved on another system."""

    def __reduce__(self):
        return pathlib.WindowsPath, ("a", "b")


PLAIN = {  # as timm's training script, and others, save beside the weights
    "options": argparse.Namespace(model="resnet18", output=pathlib.Path("out"), betas=(0.9, 0.99), device=None),
    "numbers": [np.float64(71.5), np.float32(1), np.int64(3), np.bool_(True)],
    "array": np.arange(3),
    "when": datetime.datetime(2026, 1, 31),
    "windows": Windows(),
}


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])
@pytest.mark.parametrize("what", PLAIN)
def test_plain_objects_beside_the_weights_are_read(tmp_path, what, options):
    torch.save({"state_dict": named(GOOD), "args": PLAIN[what]}, tmp_path / "file.pt", **options)
    assert read(tmp_path / "file.pt", "k").keys() == named(GOOD).keys()


def test_the_command_that_takes_tensors_out_does(tmp_path, monkeypatch):
    """Of whole modules, which `read` refuses to make, as some programs save them."""
    monkeypatch.chdir(tmp_path)
    for content in ({"epoch": 1, "model": nn.Linear(2, 1), "ema": nn.Linear(2, 1)}, nn.Linear(2, 1)):
        torch.save(content, "whole's.pt")
        with pytest.raises(ValueError, match="holds more than tensors") as error:
            read("whole's.pt", "k")
        command = re.search(r"if you trust it, (python -c .*) takes the tensors out", str(error.value))[1]
        python, option, code = shlex.split(command)
        assert (python, option) == ("python", "-c")
        exec(code, {})
        wanted = content["ema"] if isinstance(content, dict) else content
        assert torch.equal(read("tensors.pth", "k")["weight"], wanted.weight)


def test_of_several_averages_of_post_hoc_ema_the_last_is_taken(tmp_path, caplog):
    """As FACM does; what is no average in it counts steps."""
    caplog.set_level(logging.INFO)
    kept = named(RAW, "ema_models.0.ema_model.") | named(GOOD, "ema_models.1.ema_model.")
    kept |= {f"ema_models.{i}.{name}": torch.tensor(1) for i in range(2) for name in ("initted", "step")}
    for content in ({"model": named(RAW), "emas": kept, "args": argparse.Namespace(lr=1)}, {"emas": kept}):
        torch.save(content, tmp_path / "file.pt")
        assert load(Net, read(tmp_path / "file.pt", "k"), "k", "file.pt").body.bias.item() == GOOD
    assert "takes the averaged weights, emas.ema_models.1, not model" in caplog.text


def test_raw_weights_in_place_of_averaged_ones_are_said_at_every_start(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(copies.constants, "HF_HOME", str(tmp_path / "cache"))
    torch.save({"model": named(GOOD), "epoch": 1}, tmp_path / "file.pt")
    for _ in range(2):  # the second from the copy
        caplog.clear()
        copies.load_converted(Net, tmp_path / "file.pt", "k", averaged=True)
        assert "holds no averaged weights, takes the raw ones, model; " in caplog.messages[-1]
    torch.save({"model": named(RAW), "ema": named(GOOD)}, tmp_path / "file.pt")
    caplog.clear()
    assert copies.load_converted(Net, tmp_path / "file.pt", "k", averaged=True)[0].body.bias.item() == GOOD
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
