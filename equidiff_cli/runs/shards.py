"""What the shards of one run agree on: each is a run directory below `shards/`, worked on by a job of its own."""

import json
import os
from contextlib import suppress
from pathlib import Path

from equidiff_cli.runs import names


def is_shard(path):
    """Whether a run directory is one of the shards of a run."""
    return Path(path).parent.name == names.SHARDS


def settled(path):
    """What the first shard settled for all, as seen from the shard `path`; None before one has, or if it is none."""
    file = Path(path).parent / names.SETTLED
    return json.loads(file.read_text()) if is_shard(path) and file.is_file() else None


def settle(path, facts):
    """Settle `facts` for all shards unless one has settled others by now; returns those that count. A run that is no
    shard settles them for itself.
    """
    if not is_shard(path):
        return facts
    file = Path(path).parent / names.SETTLED
    beside = file.with_name(f".{file.stem}.{Path(path).name}.{os.getpid()}")
    beside.write_text(json.dumps(facts))
    with suppress(FileExistsError):
        os.link(beside, file)  # whole, and only if there is none
    beside.unlink()
    return settled(path)
