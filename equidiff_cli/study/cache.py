"""What takes long and never changes, such as unguided samples of a prior, kept beside what the hub library keeps."""

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
    """Tensors by name: those kept for exactly these facts, else what `make()` gives, kept for the next time.

    Args:
        kind: the first part of the file's name.
        facts: everything the tensors depend on, as JSON takes it.
        make: function without arguments.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    file = Path(constants.HF_HOME) / "equidiff" / f"{kind}-{digest[:32]}.safetensors"
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
