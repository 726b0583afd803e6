"""Several finished runs, one after another: what evaluate, explain and audit have in common."""

import logging
import os
import sys

import torch
from huggingface_hub.utils import disable_progress_bars
from rich.console import Console

from equidiff_cli.engine.device import pick_device
from equidiff_cli.errors import Failed, WrongRequest
from equidiff_cli.runs.names import expand, is_run
from equidiff_cli.study.models import Models

log = logging.getLogger(__name__)
WIDTH = 120  # of tables where there is no terminal


class Several:
    """The runs that words stand for. What goes wrong with one is kept until the end, and the others go on.

    Args:
        words: the directories that were given, of runs and of sweeps; `ValueError` without any.
        config: the request, with the device.
        done: what becomes of a run, for the last line, such as "evaluated".

    Attributes:
        paths: of all runs that are there, each once.
        finished: of those that are done.
        models: `Models`, on the device.
        console: standard error.
    """

    def __init__(self, words, config, done):
        if not words:
            raise ValueError("no run given; name run directories, such as outputs/2026-01-31/12-00-00-000000")
        terminal = sys.stderr.isatty()
        if not terminal:
            disable_progress_bars()
        self.models = Models(pick_device(config.device), config)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.console = Console(stderr=True, width=None if terminal else WIDTH)
        self.paths, self.wrong = listed(words)
        self.done, self.finished, self.broken = done, [], []

    def each(self, function):
        """(path, `function(path)`) of every run with which nothing went wrong, as it is done."""
        for count, path in enumerate(self.paths, 1):
            self.say(f"{path}: run {count} of {len(self.paths)}")
            try:
                made = function(path)
            except (ValueError, ConnectionError) as error:
                self.wrong.append(str(error))
                continue
            except OSError as error:
                self.broken.append(f"{path}: {error.filename or ''} {error.strerror or error}")
                continue
            except Exception as error:  # the other runs are not to suffer from it
                log.exception("%s", path)
                self.broken.append(f"{path}: {type(error).__name__}: {error}")
                continue
            self.finished.append(path)
            yield path, made

    def end(self):
        """Raise one error for all that went wrong, if anything did."""
        if failures := self.broken + self.wrong:
            total = len(self.finished) + len(failures)
            summary = f"{len(failures)} of {total} were not {self.done}: " if total > 1 else ""
            raise (Failed if self.broken else WrongRequest)(summary + "; ".join(failures))

    def say(self, text):
        """A line on standard error, not wrapped."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def listed(words):
    """The runs that directories stand for, each once, and what is wrong with the others."""
    paths, wrong = {}, []
    for word in words:
        try:
            found = expand(word)
        except ValueError as error:
            wrong.append(str(error))
            continue
        begun = [path for path in found if is_run(path)]
        if len(begun) < len(found):
            log.warning("equidiff: %s: %d of %d jobs left no run", word, len(found) - len(begun), len(found))
        paths |= {path.resolve(): path for path in begun if path.resolve() not in paths}
    return list(paths.values()), wrong


def writable(path, file):
    """`ValueError` where `file` could not be written into the directory of a run, before it is measured for hours."""
    if not os.access(path, os.W_OK):
        raise ValueError(f"{path}: cannot be written to, so {file} would be lost")
