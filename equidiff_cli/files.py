"""Files that appear whole or not at all, and logs that grow by whole lines."""

import errno
import json
import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path):
    """A path beside `path` to write to; renamed to `path` when the block ends without an error.

    It is on the disk before it is renamed, and renamed before this returns: a power failure leaves no half file. The
    path is this process's own: of several that write at the same time each writes a whole file, and the last one stays.
    """
    path = Path(path)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        flush(beside)
        os.replace(beside, path)
        flush(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path, value):
    """Write a value as JSON, whole or not at all; it has no number that JSON does not know, see `finite`."""
    with whole(path) as beside:
        beside.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def halves(folder, stem="*"):
    """What `whole` was writing in a folder, for a file of this name without suffix, when its process was killed."""
    return [file for file in Path(folder).glob(f".{stem}.[0-9]*.part.*") if file.is_file()]


def flush(path):
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append(path, text):
    """Append whole lines with a single write, so that a reader never sees half of one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        data, length = text.encode(), os.fstat(descriptor).st_size
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, length)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def finite(value):
    """`value` with every number that JSON does not know replaced by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not -float("inf") < value < float("inf") else value
