"""Files of torch.save, read without running what is in them: which plain types they may hold besides tensors."""

import argparse
import datetime
import json
import pathlib
import shlex
from collections import defaultdict

import numpy as np
import torch

PATHS = {"PosixPath": pathlib.PurePosixPath, "WindowsPath": pathlib.PureWindowsPath}


def plain():
    """What training programs keep beside the weights: options, paths, dates, numbers of numpy, each without code."""
    multiarray = np._core.multiarray if hasattr(np, "_core") else np.core.multiarray
    made = [(core, name) for core in ("_core", "core") for name in ("scalar", "_reconstruct")]  # of numpy 2 and 1
    numbers = [(getattr(multiarray, name), f"numpy.{core}.multiarray.{name}") for core, name in made]
    kinds = [kind for kind in vars(np.dtypes).values() if isinstance(kind, type)]
    paths = [(kind, f"{module}.{name}") for name, kind in PATHS.items() for module in ("pathlib", "pathlib._local")]
    simple = [bool, int, float, complex, str, list, tuple, dict, set, slice, defaultdict]
    dates = [datetime.datetime, datetime.date, datetime.timedelta]
    return [argparse.Namespace, np.dtype, np.ndarray, *simple, *dates, *numbers, *kinds, *paths]


def load(path, mmap):
    """`torch.load` that makes tensors and plain objects only, on the CPU."""
    with torch.serialization.safe_globals(plain()):
        return torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)


def extraction(path):
    """A command that writes the weights of a file that one trusts to a file that `load` reads."""
    code = (
        f'import torch; c = torch.load({json.dumps(str(path))}, map_location="cpu", weights_only=False); '
        'c = {"model": c} if hasattr(c, "state_dict") else c; '
        'torch.save({k: v.state_dict() if hasattr(v, "state_dict") else v for k, v in c.items() '
        'if any(w in k for w in ("model", "net", "state_dict", "ema"))}, "tensors.pth")'
    )
    return f"python -c {shlex.quote(code)}"
