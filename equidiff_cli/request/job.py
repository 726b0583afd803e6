"""What a cluster is given to do: runs as the words of their commands, so that all is decided where they are done."""

import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from hydra.core.global_hydra import GlobalHydra

from equidiff_cli.engine.interrupt import REQUEUE, of_a_queue
from equidiff_cli.request.keep import sharing
from equidiff_cli.runs.names import is_finished

COMMAND = "equidiff_cli.cli:command_line"  # found where the job is done: what is above this room is not imported here


@dataclass(frozen=True)
class Task:
    """One run directory and the words of the command that fills it."""

    directory: Path
    words: list


@dataclass
class Job:
    """Tasks that one job of a cluster does in this order; called by its engine, in the process of the job."""

    tasks: list

    def __call__(self):
        """The highest exit code of the tasks, or what a signal ended one of them with; finished ones are left alone."""
        codes = [0]
        with sharing():
            for task in self.tasks:
                if is_finished(task.directory):
                    continue
                GlobalHydra.instance().clear()  # an engine of Hydra's has set up its own
                codes.append(resolve_name(COMMAND)(["run", *task.words]))
                if codes[-1] > 128:
                    break
        return max(codes)


@dataclass
class Queued(Job):
    """The same in a queue that kills jobs and starts them again: ends with the exit code, so that it is in its book."""

    def __call__(self):
        requeue = signal.getsignal(REQUEUE)  # of submitit
        with of_a_queue():
            code = super().__call__()
        if code == 128 + REQUEUE:
            requeue(REQUEUE, None)
        sys.stdout.flush()
        if code:
            sys.exit(code)

    def checkpoint(self):
        """What submitit is to start again in place of this: the same, which goes on by what is in the directories."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass
class Apart(Job):
    """The same in one of several workers: what it says goes to the file `log`, not in between what others say."""

    log: Path

    def __call__(self):
        self.log.parent.mkdir(exist_ok=True)
        with said_in(self.log):
            return super().__call__()


@contextmanager
def said_in(file):
    """Standard output and standard error of this process, from Python or below, are added to a file."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with open(file, "ab", buffering=0) as log:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)
