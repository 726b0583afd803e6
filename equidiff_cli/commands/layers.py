"""equidiff layers: list the layers of a target, with what they give for one picture of the prior's size."""

import sys

import torch
from huggingface_hub.utils import disable_progress_bars

from equidiff_cli.request.check import complete
from equidiff_cli.request.light import bring, light_prior, ready
from equidiff_cli.request.part import part
from equidiff_cli.target.listing import listed

HEAD = ("layer", "type", "calls", "output for one picture", "channels")


def prepare(config, directory, words=()):
    """Load the target; `ValueError` for what is wrong with the request.

    Returns a function without arguments that gives the lines of a table, for standard output.
    """
    complete(config)
    if not sys.stderr.isatty():
        disable_progress_bars()
    prior, source = light_prior(config), part(config, "target")
    bring(source, say=lambda line: print(line, file=sys.stderr))
    picture = torch.full((1, prior.medium.channels, prior.image_size, prior.image_size), 0.5)
    target = ready(source, picture)
    return lambda: table(listed(target, picture))


def table(rows):
    """Rows of words as lines, in columns."""
    rows = [HEAD, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
