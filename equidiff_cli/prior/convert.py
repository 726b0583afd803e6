"""A safetensors copy of what was loaded from a file of torch.save, kept in the cache: the second start is fast.

The copy holds only the tensors that are needed, under the names that are needed. It is found by the path, size and
time of the file it was made from, and carries that file's SHA-256, so neither is read again.
"""

import hashlib
import json
import logging
import os
from pathlib import Path

import torch
from huggingface_hub import constants
from safetensors import safe_open

from equidiff_cli.prior.weights import load, read, sha256

log = logging.getLogger(__name__)


def load_converted(build, file, key, rename=lambda state: state, ignore=()):
    """The module of `build()` with the tensors of `file`, and the file's SHA-256; loads strictly, see `weights.load`.

    Args:
        file: a .safetensors file, which is used as it is, or one of torch.save.
        key: the configuration key it came from, for errors.
        rename: names in the file -> names of the module.
        ignore: prefixes of names in the file to leave out.
    """
    file = Path(file).resolve()
    copy = copy_of(file)
    if not copy.exists():
        module = load(build, rename(read(file, key)), key, file, ignore)
        digest = sha256(file)
        with open(file, "rb") as opened:
            if opened.read(9)[8:] == b"{":
                return module, digest
        try:
            keep(module.state_dict(), copy, {"sha256": digest, "source": str(file)})
        except OSError as error:
            log.warning("%s: no copy for the next start (%s)", copy, error.strerror or error)
            return module, digest
        del module  # the first start reads the copy too, so that every start computes with the same memory layout
    state = read(copy, key)
    with safe_open(copy, framework="pt") as opened:
        return load(build, state, key, file), opened.metadata()["sha256"]


def copy_of(file):
    """Where the copy of a file is kept: among what the hub library keeps."""
    facts = file.stat()
    place = hashlib.sha256(str(file).encode()).hexdigest()[:16]
    return Path(constants.HF_HOME) / "equidiff" / f"{place}-{facts.st_size:x}-{facts.st_mtime_ns:x}.safetensors"


def keep(state, copy, about):
    """Write float32 tensors by name to `copy`, whole or not at all, one after the other: safetensors' own writer holds
    a second copy of them all. Copies of earlier versions of the same file are removed.

    Args:
        about: strings by name, for the header.
    """
    header, end = {"__metadata__": about}, 0
    state = dict(sorted(state.items(), key=lambda item: item[1].numel() % 16 > 0))  # odd sizes last: the others aligned
    for name, tensor in state.items():
        if tensor.dtype != torch.float32:
            raise TypeError(f"{name} is {tensor.dtype}, not float32")
        begin, end = end, end + 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)  # data begins at a multiple of 64
    copy.parent.mkdir(parents=True, exist_ok=True)
    beside = copy.with_name(f".{os.getpid()}-{copy.name}")
    try:
        with open(beside, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for tensor in state.values():
                file.write(tensor.contiguous().numpy().data)
        os.replace(beside, copy)
    finally:
        beside.unlink(missing_ok=True)
    for other in copy.parent.glob(f"{copy.name.split('-')[0]}-*.safetensors"):
        if other != copy:
            other.unlink()
