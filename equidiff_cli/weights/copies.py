"""A safetensors copy of what was loaded from a file of torch.save, kept in the cache: the second start is fast.

The copy holds only the tensors that are needed, under the names that are needed. It is found by the path, size and
time of the file it was made from, and carries that file's SHA-256, so neither is read again.
"""

import hashlib
import logging
from pathlib import Path

from huggingface_hub import constants
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from equidiff_cli.files import whole
from equidiff_cli.weights.checkpoint import is_averaged
from equidiff_cli.weights.read import load, read, read_from, sha256

RAW_ONLY = "%s=%s: holds no averaged weights, takes the raw ones, %s; published models are averages"
log = logging.getLogger(__name__)


def load_converted(build, file, key, rename=lambda state: state, ignore=(), averaged=False):
    """The module of `build()` with the tensors of `file`, and the file's SHA-256; loads strictly, see `read.load`.

    Args:
        file: a .safetensors file, which is used as it is, or one of torch.save.
        key: the configuration key it came from, for errors.
        rename: names in the file -> names of the module.
        ignore: prefixes of names in the file to leave out.
        averaged: whether averaged weights are expected; where a checkpoint has raw ones only, that is said every time.
    """
    file = Path(file).resolve()
    copy = copy_of(file)
    if not (kept := kept_in(copy)):
        state, field = read_from(file, key)
        raw = "" if is_averaged(field) else field
        module = load(build, rename(state), key, file, ignore)
        digest = sha256(file)
        if averaged and raw:
            log.warning(RAW_ONLY, key, file, raw)
        with open(file, "rb") as opened:
            if opened.read(9)[8:] == b"{":
                return module, digest
        try:
            keep(module.state_dict(), copy, digest, raw)
        except (OSError, SafetensorError, RuntimeError) as error:  # the last of tensors that share memory
            log.warning("%s: no copy for the next start (%s)", copy, error)
        if not (kept := kept_in(copy)):
            return module, digest
        averaged = False  # it has been said
        del module  # the first start reads the copy too, so that every start computes with the same memory layout
    state, digest, raw = kept
    if averaged and raw:
        log.warning(RAW_ONLY, key, file, raw)
    return load(build, state, key, file), digest


def kept_in(copy):
    """(tensors by name, SHA-256 of the file they are from, its field of raw weights if they are such) of a copy; None
    if there is none, or a damaged one."""
    if not copy.exists():
        return None
    try:
        state = read(copy, "copy")
        with safe_open(copy, framework="pt") as opened:
            facts = opened.metadata()
            return state, facts["sha256"], facts.get("raw", "")
    except (ValueError, TypeError, KeyError):  # the last two: of a header without the hash
        log.warning("%s: is damaged, made again", copy)
        return None


def copy_of(file):
    """Where the copy of a file is kept: among what the hub library keeps."""
    facts = file.stat()
    place = hashlib.sha256(str(file).encode()).hexdigest()[:16]
    return Path(constants.HF_HOME) / "equidiff" / f"{place}-{facts.st_size:x}-{facts.st_mtime_ns:x}.safetensors"


def keep(state, copy, digest, raw=""):
    """Write tensors by name to `copy`, whole or not at all; copies of earlier versions of the same file are removed.

    Args:
        digest: SHA-256 of the file they are from.
        raw: the field of that file which held them, where they are raw weights of a checkpoint.

    The header holds nothing else, so that copies of one file have the same layout wherever it lies: how tensors are
    aligned in memory can change what is computed with them.
    """
    copy.parent.mkdir(parents=True, exist_ok=True)
    with whole(copy) as beside:
        facts = {"sha256": digest} | ({"raw": raw} if raw else {})
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, beside, facts)
    for other in copy.parent.glob(f"{copy.name.split('-')[0]}-*.safetensors"):
        if other != copy:
            other.unlink()
