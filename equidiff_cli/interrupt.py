"""Stop at a moment when everything is saved, not in the middle of a step."""

import os
import signal
from contextlib import contextmanager, suppress


class Interrupted(BaseException):
    """The run in directory `path` was asked to stop by signal `number` and has saved its state.

    The same command goes on where it has `again` among its words.
    """

    def __init__(self, number, path):
        super().__init__(f"interrupted by {signal.Signals(number).name}, state saved")
        self.number, self.again = number, f"hydra.run.dir={path}"


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
