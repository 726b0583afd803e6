"""What a user's code changes for everybody while it is built is as before afterwards."""

import pytest
import torch
from omegaconf import OmegaConf

from equidiff_cli.request.guard import untouched
from equidiff_cli.request.light import ready
from equidiff_cli.request.part import part


def test_settings_are_as_before_also_after_an_error():
    def change():
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")

    with untouched("k"):
        change()
    with pytest.raises(KeyError), untouched("k"):
        change()
        raise KeyError
    assert torch.is_grad_enabled() and torch.zeros(1).dtype == torch.float32
    assert torch.zeros(1).device.type == "cpu"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit(3)", r"target._target_=bad_module.make: ended the program with sys.exit\(3\)"),
        ("def make(): exit()", r"target._target_=bad_module.make: ended the program with sys.exit\(None\)"),
    ],
)
def test_the_end_of_the_program_is_a_wrong_request(code, message, tmp_path, monkeypatch):
    (tmp_path / "bad_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "bad_module", raising=False)
    with pytest.raises(ValueError, match=message):
        part(OmegaConf.create({"target": {"_target_": "bad_module.make"}}), "target")


def test_a_network_that_changes_settings_when_made_can_be_differentiated():
    class Made:
        def build(self):
            torch.set_grad_enabled(False)
            torch.set_default_dtype(torch.float64)
            return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2))

    target = ready(Made(), torch.rand(1, 3, 4, 4))
    assert target(torch.rand(1, 3, 4, 4, requires_grad=True)).requires_grad
    assert target.uses == {"weights": "float32, given as float64"}
