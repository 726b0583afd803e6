"""prior=auto: which prior suits the device, known before Hydra composes the configuration."""

import os
from pathlib import Path

VARIABLE = "EQUIDIFF_AUTO_PRIOR"  # read by configs/prior/auto.yaml; a variable, so that a launcher's processes have it
DRIVERS = ("nvidia[0-9]*", "dxg", "kfd")  # below /dev: NVIDIA, the same under WSL, AMD


def settle(arguments):
    """Set what `prior=auto` stands for: the published model if the run is on a CUDA device, else the embedded one."""
    device = next((a.removeprefix("device=") for a in reversed(arguments) if a.startswith("device=")), "auto")
    wanted = device == "auto" or "cuda" in device
    os.environ[VARIABLE] = "lightningdit_xl" if wanted and cuda() else "embedded"


def cuda():
    """Whether there is a CUDA device that torch can use; torch is imported only where there is a driver."""
    if not any(True for pattern in DRIVERS for _ in Path("/dev").glob(pattern)):
        return False
    import torch

    return torch.cuda.is_available()
