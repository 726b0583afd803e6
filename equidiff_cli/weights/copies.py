"""A safetensors copy of what was loaded from a file of torch.save, kept in the cache: the second start is fast.

The copy holds only the tensors that are needed, under the names that are needed. It is found by the path, size and
time of the file it was made from, and carries that file's SHA-256, so neither is read again.
"""

import hashlib
import json
import logging
from pathlib import Path

import torch
from huggingface_hub import constants
from safetensors import safe_open

from equidiff_cli.files import whole
from equidiff_cli.weights.read import load, read, sha256

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
    if not (kept := kept_in(copy)):
        module = load(build, rename(read(file, key)), key, file, ignore)
        digest = sha256(file)
        with open(file, "rb") as opened:
            if opened.read(9)[8:] == b"{":
                return module, digest
        try:
            keep(module.state_dict(), copy, {"sha256": digest, "source": str(file)})
        except OSError as error:
            log.warning("%s: no copy for the next start (%s)", copy, error.strerror or error)
        if not (kept := kept_in(copy)):
            return module, digest
        del module  # the first start reads the copy too, so that every start computes with the same memory layout
    state, digest = kept
    return load(build, state, key, file), digest


def kept_in(copy):
    """(tensors by name, SHA-256 of the file they are from) of a copy; None if there is none, or a damaged one."""
    if not copy.exists():
        return None
    try:
        state = read(copy, "copy")
        with safe_open(copy, framework="pt") as opened:
            return state, opened.metadata()["sha256"]
    except (ValueError, TypeError, KeyError):  # the last two: of a header without the hash
        log.warning("%s: is damaged, made again", copy)
        return None


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
    with whole(copy) as beside, open(beside, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in state.values():
            file.write(tensor.contiguous().numpy().data)
    for other in copy.parent.glob(f"{copy.name.split('-')[0]}-*.safetensors"):
        if other != copy:
            other.unlink()
