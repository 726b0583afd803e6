"""Whether a command is a sweep, known without composing its configuration once more."""

import re
from contextlib import contextmanager

from hydra._internal.hydra import Hydra

SWEEPS = ("-m", "--multirun")
SAYS = re.compile(r"[+~]*hydra([./@](mode|searchpath)|=)")


def may_be_said(words):
    """Whether a word may set Hydra's mode, itself or by a file that it brings in."""
    return any(SAYS.match(word) or (word.startswith("-") and word not in SWEEPS) for word in words)


@contextmanager
def known(words):
    """While this lasts, Hydra does not compose the whole configuration of a command to read its mode, which nothing but
    `words` can set: a quarter of what answering a wrong value takes.
    """
    if may_be_said(words):
        yield
        return
    compose_for_it = Hydra.get_mode  # internal; tests pin what is used of it
    Hydra.get_mode = lambda self, config_name, overrides: None  # what it finds where the mode is not set
    try:
        yield
    finally:
        Hydra.get_mode = compose_for_it
