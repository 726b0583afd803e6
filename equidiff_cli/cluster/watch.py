"""What is known of runs that others are working on, for who waits: on standard error, a line now and then or a bar."""

import sys
import time
from contextlib import contextmanager
from threading import Event, Thread

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from equidiff_cli.engine.progress import duration
from equidiff_cli.runs import names

EVERY_SECONDS = 30.0


def samples(run):
    """How many samples of a run are finished, those of its shards included."""
    if names.is_finished(run.directory):
        return run.samples
    return sum(lines(task.directory / names.RECORDS) for task in run.tasks)


def lines(file):
    return file.read_bytes().count(b"\n") if file.is_file() else 0


class Watch:
    """Says how far runs have come; use `watching`.

    Args:
        runs: the `Wanted`.
        bar: rich's progress display, or None where standard error is no terminal.
    """

    def __init__(self, runs, bar=None):
        self.runs, self.bar = runs, bar
        self.wanted = sum(run.samples for run in runs)
        self.first, self.began, self.said = sum(map(samples, runs)), time.monotonic(), 0.0
        self.task = bar.add_task("", total=self.wanted, completed=self.first) if bar else None

    def see(self, jobs):
        """Say it if it is time to: what is known of `jobs`, in words, and how many samples are finished."""
        if not self.bar and self.said and time.monotonic() - self.said < EVERY_SECONDS:
            return
        self.said, done = time.monotonic(), sum(map(samples, self.runs))
        if self.bar:
            self.bar.update(self.task, completed=done, description=jobs)
            return
        left = ""
        if self.first < done < self.wanted:
            seconds = (self.said - self.began) / (done - self.first) * (self.wanted - done)
            left = f", about {duration(seconds)} left"
        print(f"{jobs}; {done} of {self.wanted} samples finished{left}", file=sys.stderr, flush=True)


@contextmanager
def watching(runs):
    """A `Watch` of the `runs`."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Watch(runs)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        yield Watch(runs, bar)


@contextmanager
def from_beside(runs, pause=2.0):
    """Inside, another thread sees how many of the `runs` and of their samples are finished, every `pause` seconds."""
    done = Event()

    def look(watch):
        going = True
        while going:  # once more when all is done
            going = not done.wait(pause)
            watch.see(f"runs: {sum(names.is_finished(run.directory) for run in runs)} of {len(runs)} finished")

    with watching(runs) as watch:
        thread = Thread(target=look, args=(watch,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
