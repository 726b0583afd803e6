"""What takes long and never changes, such as unguided samples of a prior, kept in a file for the next time."""

import hashlib
import json
import logging
from pathlib import Path

from huggingface_hub import constants
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from equidiff_cli.files import whole

log = logging.getLogger(__name__)


def cached(kind, facts, make):
    """Tensors by name that depend on exactly these facts, `kept` beside what the hub library keeps.

    Args:
        kind: the first part of the file's name.
        facts: everything the tensors depend on, as JSON takes it.
        make: function without arguments.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return kept(Path(constants.HF_HOME) / "equidiff" / f"{kind}-{digest[:32]}.safetensors", make)


def kept(file, make):
    """Tensors by name of a safetensors file; if it is not there, or damaged, what `make()` gives, which it gets.

    A file that cannot be written is a warning: the next time they are made again.
    """
    file = Path(file)
    if file.exists():
        try:
            return load_file(file)
        except SafetensorError:
            log.warning("%s: is damaged, computed again", file)
    tensors = {name: tensor.contiguous() for name, tensor in make().items()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as beside:
            beside.write_bytes(save(tensors))
    except OSError as error:
        log.warning("%s: not kept for the next time (%s)", file, error.strerror or error)
    return tensors
