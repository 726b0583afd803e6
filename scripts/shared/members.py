"""Members of a request drawn from the words of the command, and what networks see in them: for measurements."""

import time

import torch

from equidiff_cli.engine.start import start
from equidiff_cli.methods.events import Finished
from equidiff_cli.request.build import build
from equidiff_cli.request.schema import composed
from equidiff_cli.study.features import look
from equidiff_cli.target.small import embedded

BATCH = 16


def drawn(words, samples, seed):
    """The parts of a request, its finished samples in order and the seconds that they took.

    Seconds are processor time where torch has one thread, else wall time.
    """
    parts = build(composed("prior=embedded", f"samples={samples}", f"seed={seed}", *words))
    slots, memory = start(parts)
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    events = parts.method(parts.prior, parts.question, slots, memory)
    finished = sorted((event for event in events if isinstance(event, Finished)), key=lambda event: event.index)
    return parts, finished, clock() - began


def heldout(parts):
    """The shipped network that a request does not hold anything in."""
    return embedded("smallconv" if parts.target.name == "smallresnet" else "smallresnet")


def seen(network, x):
    """Probabilities (N, classes) and features (N, D) of pictures (N, 3, H, W) by a network."""
    logits, features = look(network, x, BATCH)
    return logits.softmax(1), features


def table_row(*cells):
    """A row of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"
