"""Files that appear whole or not at all, and logs that grow by whole lines."""

import errno
import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path):
    """A path beside `path` to write to; renamed to `path` when the block ends without an error."""
    path = Path(path)
    beside = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


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
