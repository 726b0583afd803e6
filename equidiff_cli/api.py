"""EquiDiff from Python: parts from the words one would type, members from a plain loop, finished runs as arrays.

See docs/python.md.

    parts = build("samples=2", "objective.label=cat")
    for event in draw(parts):
        if isinstance(event, Finished):
            event.best["picture"]  # (3, H, W) in [0, 1]
"""

from equidiff_cli.engine.start import start
from equidiff_cli.methods.events import Finished, Kept, Step
from equidiff_cli.request import build as request
from equidiff_cli.request.auto import settle
from equidiff_cli.request.schema import composed
from equidiff_cli.runs import names
from equidiff_cli.runs.reader import error, read, typicality

__all__ = ["Finished", "Kept", "Step", "build", "draw", "error", "open_run", "open_runs", "typicality"]


def build(*words, target=None, objective=None):
    """The `Parts` that `equidiff run <words>` would draw members with; `ValueError` in one line for what is wrong.

    Args:
        words: as on the command line, such as "query=dog.png", "filter.cutoff=0.2".
        target: a network of one's own instead of the group `target`: a `Target`, or a torch module from pictures
            (N, 3, H, W) in [0, 1] to logits (N, classes).
        objective: a function of one's own instead of the group `objective`: pictures (N, 3, H, W) in [0, 1] to values
            (N, K), differentiable, row by row.
    """
    settle(words)
    return request.build(composed(*words), words, target=target, objective=objective)


def draw(parts):
    """The events of drawing all samples of `parts`: a `Finished` for each that is done, a `Step` for each step.

    Nothing is written. The events are those that a run directory is written from: the same parts give the same members.
    """
    slots, memory = start(parts)
    yield from parts.method(parts.prior, parts.question, slots, memory)


def open_run(path):
    """The run in a directory, finished or not, as arrays and tables: see `equidiff_cli.runs.reader.Run`."""
    return read(path)


def open_runs(*paths):
    """The runs that the directories of runs and sweeps stand for, in order."""
    found = names.find([str(path) for path in paths])
    return [read(path, str(path)) for path in found]
