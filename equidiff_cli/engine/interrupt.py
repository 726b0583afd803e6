"""Stop at a moment when everything is saved, not in the middle of a step."""

import os
import signal
from contextlib import contextmanager, suppress

SAVED = signal.SIGTERM  # in a job of a queue: it is about to be killed and may be queued again
REQUEUE = signal.SIGUSR2  # in a job of a queue: its time is nearly up, what is saved goes on in another
_queue = None  # in a job of a queue: the `Noted` of the whole process


class Noted(list):
    """Numbers of the signals that came; in a `queue` SIGTERM is no reason to stop, since to end is to be done with."""

    def __init__(self, queue=False):
        super().__init__()
        self.queue = queue

    @property
    def stop(self):
        """The first signal to stop for, or None."""
        return next((number for number in self if not (self.queue and number == SAVED)), None)


@contextmanager
def of_a_queue():
    """This process is a job of a queue: from now on, while things are loaded too, SIGTERM and SIGUSR2 are noted.

    Who is asked to go by SIGTERM and goes has failed or is done, by the queue's book; who stays is killed a little
    later, and may be queued again. So what is in work is saved, and work goes on.
    """
    global _queue
    _queue, before = Noted(queue=True), {}

    def note(number, frame):
        _queue.append(number)
        told = b"saving at the next step, going on until killed" if number == SAVED else b"stopping at the next step"
        with suppress(OSError):
            os.write(2, b"equidiff: " + told + b"\n")

    try:
        before = {number: signal.signal(number, note) for number in (SAVED, REQUEUE)}
        yield
    finally:
        _queue = None
        for number, handler in before.items():
            signal.signal(number, handler)


def queued():
    """Whether this process is a job of a queue."""
    return _queue is not None


@contextmanager
def deferred():
    """Collect SIGINT and SIGTERM in the `Noted` that this yields, instead of acting on them; a second Ctrl-C acts at
    once. In a job of a queue it holds what came before, too.
    """
    if queued():
        yield _queue
        return
    received = Noted()

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
