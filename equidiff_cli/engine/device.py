"""Where things run and in which precision."""

import resource
import sys
from contextlib import contextmanager

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name):
    """A usable `torch.device` for "auto", "cpu", "cuda", "cuda:1" or "mps"; `ValueError` if it is not there."""
    present = ["cpu"]
    present += [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    present += ["mps"] if torch.backends.mps.is_available() else []
    if name == "auto":
        name = "cuda:0" if "cuda:0" in present else present[-1]
    if name == "cuda" and "cuda:0" in present:
        name = "cuda:0"
    if name not in present:
        raise ValueError(f"device={name}: not on this machine; use auto or one of {', '.join(present)}")
    return torch.device(name)


def pick_precision(name, device):
    """Name and element type for the prior: "auto" is bfloat16 on CUDA and float32 elsewhere."""
    if name == "auto":
        name = "bf16" if device.type == "cuda" else "fp32"
    return name, DTYPES[name]


def name_of(device):
    """What to call the device in records."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def set_tf32(allowed, device):
    """Allow or forbid TF32 for products and convolutions of float32; `ValueError` where there is none."""
    if allowed and device.type != "cuda":
        raise ValueError(f"tf32=true: only CUDA devices have it, this run is on {device}; use tf32=false")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def exact():
    """Compute in float32 proper, for what is recorded: without TF32, whatever was allowed."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def peak_memory(device):
    """Highest memory use so far in MiB: of the device where it is CUDA, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)
