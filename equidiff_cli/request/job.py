"""What a cluster is given to do: runs as the words of their commands, so that all is decided where they are done."""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from hydra.core.global_hydra import GlobalHydra

from equidiff_cli.engine.interrupt import REQUEUE, of_a_queue
from equidiff_cli.errors import Failed
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
class Checked(Job):
    """The same for an engine that knows a failure by an exception."""

    def __call__(self):
        if code := super().__call__():
            raise Failed(f"exit code {code}")
