"""Which device and precision are taken, on machines with and without an accelerator."""

import re
from pathlib import Path

import pytest
import torch

from equidiff_cli.engine.device import DTYPES, peak_memory, pick_device, pick_precision

STATUS = Path("/proc/self/status")


@pytest.fixture
def machine(monkeypatch):
    """Pretend to have some CUDA devices, or Apple's."""

    def call(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return call


@pytest.mark.parametrize(
    ("has", "name", "device"),
    [
        ({}, "auto", "cpu"),
        ({}, "cpu", "cpu"),
        (dict(cuda=2), "auto", "cuda:0"),
        (dict(cuda=2), "cuda", "cuda:0"),
        (dict(cuda=2), "cuda:1", "cuda:1"),
        (dict(cuda=2), "cpu", "cpu"),
        (dict(cuda=1, mps=True), "auto", "cuda:0"),
        (dict(mps=True), "auto", "mps"),
        (dict(mps=True), "mps", "mps"),
    ],
)
def test_devices_that_are_there(machine, has, name, device):
    machine(**has)
    assert pick_device(name) == torch.device(device)


@pytest.mark.parametrize(
    ("has", "name", "there"),
    [
        ({}, "cuda", "cpu"),
        ({}, "mps", "cpu"),
        ({}, "gpu", "cpu"),
        ({}, "", "cpu"),
        (dict(cuda=2), "cuda:2", "cpu, cuda:0, cuda:1"),
        (dict(mps=True), "cuda:0", "cpu, mps"),
    ],
)
def test_devices_that_are_not_there(machine, has, name, there):
    machine(**has)
    with pytest.raises(ValueError) as error:
        pick_device(name)
    assert str(error.value) == f"device={name}: not on this machine; use auto or one of {there}"


def test_precision():
    cpu, cuda = torch.device("cpu"), torch.device("cuda:0")
    assert pick_precision("auto", cpu) == ("fp32", torch.float32)
    assert pick_precision("auto", torch.device("mps")) == ("fp32", torch.float32)
    assert pick_precision("auto", cuda) == ("bf16", torch.bfloat16)
    for name, dtype in DTYPES.items():
        assert pick_precision(name, cpu) == pick_precision(name, cuda) == (name, dtype)


@pytest.mark.skipif(not STATUS.exists(), reason="the kernel's own count is in /proc")
def test_peak_memory_is_the_kernels_count_in_mib():
    kibibytes = int(re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())[1])
    assert peak_memory(torch.device("cpu")) == pytest.approx(kibibytes / 1024, rel=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_peak_memory_of_a_cuda_device():
    device = torch.device("cuda:0")
    torch.empty(64 * 2**20, dtype=torch.uint8, device=device)
    assert peak_memory(device) >= 64
