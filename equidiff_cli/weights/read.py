"""Weights: read a file of tensors without running its code, fit it to a module strictly, say in one line what is wrong.

For example, with `path` the published file of the transformer:

    state = read(path, "prior.weights")
    network = load(LightningDiT, state, "prior.weights", path)
"""

import hashlib
import itertools
import logging
import pickle
import re
import struct
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch.overrides import TorchFunctionMode

from equidiff_cli.weights import checkpoint, safe
from equidiff_cli.weights.fit import fitted, misfit, some

ACCEPTED = "accepted: a .safetensors file, or a .pt, .pth or .ckpt file of torch.save, that holds tensors by name"

# What torch.load and zipfile raise for a damaged file, found by cutting one off and altering it at every place.
DAMAGED = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
)

log = logging.getLogger(__name__)


def read(path, key):
    """The tensors of a file by name, on the CPU, mapped into memory rather than read where the file allows it.

    The content decides how it is read, not the suffix: safetensors, or what `torch.save` wrote (with
    `weights_only=True`, so nothing in it runs). Of a checkpoint the averaged weights are taken, else the raw ones, see
    `checkpoint.weights`; which, where there are several, is logged.

    Args:
        path: the file.
        key: the configuration key it came from, for errors: `ValueError` "key=path: what is wrong; accepted: ...".
    """
    return read_from(path, key)[0]


def read_from(path, key):
    """The same, and the field of the checkpoint that holds them, "" where the file holds nothing else."""
    path = Path(path)
    head = _head(path, key)
    if head[8:9] == b"{":  # after the length of its header, which is JSON
        content = _read_safetensors(path, key)
    elif head.startswith((b"PK\x03\x04", b"\x80")):  # a zip archive; before torch 1.6 a row of pickles
        content = _read_torch(path, key)
    elif head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        raise _error(key, path, "is a web page or XML, perhaps the answer to a failed download")
    elif head.startswith(b"version https://git-lfs"):
        raise _error(key, path, "is a pointer of Git LFS, not the file itself: fetch it with git lfs pull")
    else:
        raise _error(key, path, "is neither of the accepted formats, or was cut off" if head else "is empty")
    return _tensors(content, key, path)


def load(build, state, key, path, ignore=(), dtype=torch.float32):
    """The module of `build()` with the tensors of `state`: frozen, in eval mode, without a second copy of the weights.

    Args:
        build: makes the module; called on the meta device, so its initial values cost nothing.
        state: tensors by name, as `read` gives them, renamed where the module has other names.
        key, path: where `state` came from, for errors.
        ignore: prefixes of names to leave out; any other name the module lacks is an error.
        dtype: what floating-point tensors are cast to.
    """
    with torch.device("meta"), _Unfilled():
        module = build()
    wanted = module.state_dict()
    named = {name: tensor for name, tensor in state.items() if name in wanted or not name.startswith(tuple(ignore))}
    state, done = fitted(named, wanted)
    if done:
        log.info("%s=%s: takes %s", key, path, done)
    if wrong := misfit(state, wanted):
        raise ValueError(f"{key}={path}: {wrong}")
    state = {name: state[name].to(dtype) if state[name].is_floating_point() else state[name] for name in wanted}
    module.load_state_dict(state, assign=True)
    empty = [name for name, tensor in _parameters_and_buffers(module) if tensor.is_meta]
    if empty:  # a buffer with persistent=False: its values are lost on the meta device
        raise RuntimeError(f"{type(module).__name__} has tensors that no file can fill: {some(empty)}")
    return module.requires_grad_(False).eval()


class _Unfilled(TorchFunctionMode):
    """Leaves out normal initial values on the meta device: there are none, but for them torch imports its compiler,
    which takes as long as torch itself."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in (torch.nn.init.normal_, torch.Tensor.normal_):
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return function(*args, **kwargs)


def sha256(path):
    """The SHA-256 of a file in hexadecimal, read piece by piece."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _head(path, key):
    """The first bytes of a file."""
    try:
        with open(path, "rb") as file:
            return file.read(64)
    except OSError as error:
        raise _error(key, path, f"cannot be opened ({error.strerror})") from error


def _read_safetensors(path, key):
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise _error(key, path, f"is damaged or cut off ({_sentence(error)})") from error


def _read_torch(path, key):
    try:
        return safe.load(path, _can_map(path))
    except DAMAGED as error:
        code = re.search(r"GLOBAL (\S+)", str(error))  # what `weights_only` refuses to import
        if code:
            what = f"holds more than tensors ({code[1]}) and could run code, so for safety it is not opened;"
            what += f" if you trust it, {safe.extraction(path)} takes the tensors out"
        else:
            what = f"is damaged or cut off, or in a form that torch.load does not read safely ({_sentence(error)})"
        raise _error(key, path, what) from error


def _can_map(path):
    """Whether torch can map the file: a zip archive that nobody compressed (it would map the compressed bytes)."""
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            return False
    with zipfile.ZipFile(path) as archive:
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def _tensors(content, key, path):
    """(dict of tensors, its field) in what a file holds."""
    try:
        state, field, others = checkpoint.weights(content)
    except ValueError as error:
        raise _error(key, path, str(error)) from None
    if not isinstance(state, dict) or not state:
        raise _error(key, path, f"holds {'nothing' if state == {} else f'a {type(state).__name__}'}")
    strange = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    strange += [name for name in state if not isinstance(name, str) and name not in strange]
    if strange:
        raise _error(key, path, f"holds other things than tensors by name: {some(strange)}")
    if others:
        kind = "averaged weights" if checkpoint.is_averaged(field) else "weights"
        log.info("%s=%s: takes the %s, %s, not %s", key, path, kind, field, ", ".join(others))
    return {name: tensor.detach() for name, tensor in checkpoint.unwrapped(state).items()}, field


def _parameters_and_buffers(module):
    return itertools.chain(module.named_parameters(), module.named_buffers())


def _sentence(error):
    """The type of an error and its first sentence, on one line."""
    first, *_ = re.split(r"\. |\n", str(error))
    return f"{type(error).__name__}: {first}".rstrip(": ")


def _error(key, path, what):
    return ValueError(f"{key}={path}: {what}; {ACCEPTED}")
