"""Stop at a moment when everything is saved, not in the middle of a step."""

import os
import signal
from contextlib import contextmanager, suppress


@contextmanager
def deferred():
    """Collect SIGINT and SIGTERM in the list this yields, instead of acting on them; a second Ctrl-C acts at once."""
    received = []

    def note(number, frame):
        if received and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        received.append(number)
        with suppress(OSError):  # standard error may be a pipe that nobody reads any more
            os.write(2, b"equidiff: stopping when this step is saved\n")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
