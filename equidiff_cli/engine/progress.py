"""What a person sees of a run: a live table on a terminal, a line now and then elsewhere; always on standard error."""

import math
import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from equidiff_cli.methods.events import Finished, Step

EVERY_SECONDS = 10.0
LONG = 60.0  # seconds; how long a run takes is said at its first step if it may take more
MOST_ROWS = 24
COLOURS = {"running": "cyan", "converged": "green", "budget": "yellow", "nonfinite": "red"}


class Progress:
    """Shows the events of a run; use as a context manager.

    Args:
        samples: how many there will be.
        steps: budget of a sample.
        threshold: loss below which a sample has converged.
        length: moves of a sample's chain, 0 where there are none: the time left goes by them, for a move costs many
            times as much as a step before the chain begins.
    """

    def __init__(self, samples, steps, threshold, length=0):
        self.samples, self.steps, self.threshold, self.length = samples, steps, threshold, length
        self.foretold = False  # whether the method has said what it takes; set by who asked it
        self.moves, self.moved, self.walking = {}, 0, None  # of each sample; of all since `walking`, a time
        self.console = Console(stderr=True)
        self.rows, self.used = {}, []  # index -> (status, steps, loss); steps that finished samples took
        self.started = self.said = self.latest = time.monotonic()
        self.evaluations = 0
        self.live = Live(console=self.console, refresh_per_second=4) if self.console.is_terminal else None

    def __enter__(self):
        self.started = self.said = self.latest = time.monotonic()  # of the samples; before them the spread was measured
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_):
        if self.live:
            self.live.update(self.table())
            self.live.stop()

    def resume(self, records):
        """Take note of the samples that an earlier part of the run finished."""
        for record in records:
            self.finished(record["index"], record["status"], record["steps"], record["loss"])

    def take(self, event):
        """Take note of an event and show it."""
        if isinstance(event, Finished):
            self.finished(event.index, event.status, event.steps, event.best["loss"].item())
        elif isinstance(event, Step):
            self.stepped(event)

    def stepped(self, event):
        """Take note of a `Step`."""
        first = not self.evaluations
        first_move = self.length and self.walked(event)
        self.evaluations += len(event.index)
        for index, step, loss in zip(event.index, event.step, event.loss, strict=True):
            if index not in self.rows or self.rows[index][0] == "running":
                self.rows[index] = ("running", step, loss)
        if self.length:
            if first_move and (about := self.pace()) > LONG:
                left = f"{self.samples - len(self.used)} chains of {self.length} moves"
                self.say(f"about {duration(about)} for {left}, by the time of the first move")
        elif first and not self.foretold and (most := self.most()) > LONG:
            left = f"{self.samples - len(self.used)} samples (budget {self.steps} steps)"
            self.say(f"at most about {duration(most)} for {left}, by the time of the first step")
        if self.live:
            self.live.update(self.table())
        elif time.monotonic() - self.said > EVERY_SECONDS:
            self.said = time.monotonic()
            running = [(row[2], max(self.moves.get(i, 0), 0)) for i, row in self.rows.items() if row[0] == "running"]
            losses, moves = zip(*running, strict=True) if running else ((), ())
            best = f", losses {min(losses):.2e} to {max(losses):.2e}" if running else ""
            if running and self.length:
                best = f", {min(moves)} to {max(moves)} of {self.length} moves"
            self.say(f"{self.counts()}{best}, {self.left()}")

    def walked(self, event):
        """Take note of the moves of a `Step` of chains; whether they are the first ones seen."""
        first = False
        for index, count in zip(event.index, event.moves, strict=True):
            if count > self.moves.get(index, count - 1) >= 0:
                first, self.moved = first or not self.moved, self.moved + 1
            self.moves[index] = count
        if self.walking is None and max(event.moves) >= 0:
            self.walking = self.latest if self.moved else time.monotonic()
        self.latest = time.monotonic()
        return first

    def pace(self):
        """The seconds left by the time of the moves so far; None before the first."""
        if not self.moved:
            return None
        begun = sum(max(self.moves.get(i, 0), 0) for i, row in self.rows.items() if row[0] == "running")
        left = (self.samples - len(self.used)) * self.length - begun
        return (time.monotonic() - self.walking) / self.moved * left

    def finished(self, index, status, steps, loss):
        """Take note of a sample that left."""
        self.rows[index] = (status, steps, math.nan if loss is None else loss)  # None: so a record writes it
        self.used.append(steps)

    def say(self, text):
        """One plain line on standard error."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def counts(self, zeros=True):
        """How many samples have which status, in words; `zeros`: those that none has, too."""
        tally = {status: sum(row[0] == status for row in self.rows.values()) for status in COLOURS}
        words = ", ".join(f"{count} {status}" for status, count in tally.items() if count or zeros)
        return f"{len(self.used)} of {self.samples} samples finished" + (f" ({words})" if words else "")

    def most(self):
        """The seconds left if all samples use up their budget and every step takes as long as those so far."""
        begun = sum(row[1] for row in self.rows.values() if row[0] == "running")
        steps = (self.samples - len(self.used)) * self.steps - begun
        return (time.monotonic() - self.started) / self.evaluations * steps

    def left(self):
        """The time left if samples go on leaving after as many steps as so far, those in work counted; before one has
        left, if all use up their budget.
        """
        if self.length:
            seconds = self.pace()
            return "looking for the set" if seconds is None else f"about {clock(seconds)} left"
        running = [row[1] for row in self.rows.values() if row[0] == "running"]
        each = min((sum(self.used) + sum(running)) / len(self.used), self.steps) if self.used else self.steps
        steps = sum(min(each, self.steps - begun) for begun in running) + (self.samples - len(self.rows)) * each
        elapsed = time.monotonic() - self.started
        return f"{'about' if self.used else 'at most'} {clock(elapsed / max(self.evaluations, 1) * steps)} left"

    def table(self):
        """The live display: one row a sample, those in work first if there are many."""
        table = Table(
            title=f"{self.counts(zeros=False)}\nthreshold {self.threshold:g}, {self.left()}", title_justify="left"
        )
        for column in ("sample", "status", "move" if self.length else "step", "loss", "to the threshold"):
            table.add_column(column, justify="left" if column in ("status", "to the threshold") else "right")
        rows = sorted(self.rows.items())
        if len(rows) > MOST_ROWS:
            rows = sorted(sorted(rows, key=lambda row: row[1][0] != "running")[:MOST_ROWS])
        for index, (status, step, loss) in rows:
            done = f"{max(self.moves.get(index, 0), 0)}/{self.length}" if self.length else f"{step}/{self.steps}"
            table.add_row(str(index), f"[{COLOURS[status]}]{status}[/]", done, f"{loss:.2e}", self.bar(loss))
        if len(self.rows) > MOST_ROWS:
            table.caption = f"{len(self.rows) - MOST_ROWS} more not shown"
        return table

    def bar(self, loss, width=20):
        """How far the loss has come from 1 (chance) to the threshold, on a logarithmic scale."""
        if not loss > 0 or not math.isfinite(loss):
            return ""
        share = math.log(loss) / math.log(self.threshold) if self.threshold < 1 else 0.0
        return "█" * round(width * min(max(share, 0.0), 1.0))


def clock(seconds):
    """Seconds as minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"


def duration(seconds):
    """Seconds in words, rounded up to minutes."""
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
