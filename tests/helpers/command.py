"""The command as a user calls it: in a process of its own, or in this one, where nothing has to be imported again."""

import contextlib
import gc
import importlib
import io
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from hydra.core.global_hydra import GlobalHydra

from equidiff_cli import cli


class Done(NamedTuple):
    """What `subprocess.CompletedProcess` says, too."""

    returncode: int
    stdout: str
    stderr: str


def in_process(arguments, folder):
    """Call the command in this process, with `folder` as the current one; what it sets is as before afterwards."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        for restored in (_arguments, _signals, _environment, _logging, _modules):
            stack.enter_context(restored())
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        sys.argv = ["equidiff", *map(str, arguments)]
        gc.freeze()  # what was there before need not be looked at
        GlobalHydra.instance().clear()
        try:
            code = cli.main()
        except SystemExit as error:  # of Hydra's own flags, such as --info
            code = error.code or 0
        GlobalHydra.instance().clear()
    gc.collect()  # locks are released with what holds them, as they would be with a process
    gc.unfreeze()
    return Done(code, out.getvalue(), err.getvalue())


def in_its_own(arguments, folder, env=(), text=True, **options):
    """Run the command in a process of its own."""
    return subprocess.run(
        line(*arguments),
        cwd=folder,
        capture_output=True,
        env=environment() | dict(env),
        text=text,
        timeout=300,
        **options,
    )


def line(*arguments):
    """The words that start it."""
    return [sys.executable, "-m", "equidiff_cli.cli", *arguments]


def environment():
    """That of this process, with its path."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


@contextlib.contextmanager
def _arguments():
    argv, path = sys.argv, list(sys.path)
    yield
    sys.argv, sys.path[:] = argv, path


@contextlib.contextmanager
def _signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@contextlib.contextmanager
def _environment():
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@contextlib.contextmanager
def _logging():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@contextlib.contextmanager
def _modules():
    """Forget the modules of the folder afterwards: another test has others of the same names."""
    before = set(sys.modules)
    yield
    folder = Path.cwd()
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).resolve().is_relative_to(folder.resolve()):
            del sys.modules[name]
    importlib.invalidate_caches()
    sys.path_importer_cache.pop("", None)
