"""The `equidiff` command: the command table, exit codes, and one job from its configuration to its record.

Nothing heavy is imported before a command runs, so that help and completion answer at once.
"""

import atexit
import gc
import io
import logging
import os
import signal
import sys
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

from equidiff_cli import __version__
from equidiff_cli.engine import interrupt
from equidiff_cli.errors import Failed, Stopped, Terminated, WrongRequest
from equidiff_cli.request.help import command_help, usage
from equidiff_cli.request.schema import configs
from equidiff_cli.request.words import split

COMMANDS = {  # name: what it does; the module commands/<name>.py has `prepare(config, directory, words) -> work`
    "run": "draw pictures that the target cannot tell from the query",
    "fetch": "bring the weights of a prior and a target into the cache ahead",
    "layers": "list the layers of a target, with what they give for one picture",
    "evaluate": "measure runs again from their files, beside what chance gives",
    "audit": "say what a network holds, what it ignores, and which shortcuts it took",
    "explain": "hold explanations of members beside those of the query and of unguided samples",
    "report": "put runs on one HTML page, or their pictures into a figure",
}
OF_RUNS = ("evaluate", "audit", "explain", "report")  # their words are run directories; those of others are overrides
log = logging.getLogger(__name__)


def main():
    """Entry point; returns the exit code."""
    try:
        code = command_line(sys.argv[1:])
        sys.stdout.flush()
        if sys.stdout is sys.__stdout__ and sys.__stderr__:  # what a user's code says as the process ends
            os.dup2(sys.__stderr__.fileno(), sys.stdout.fileno())
        return code
    except BrokenPipeError:  # who read a help page closed it; nobody is left to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def command_line(arguments):
    """Do what the words say; returns the exit code."""
    if any(a in ("-sc", "--shell-completion") for a in arguments):
        from equidiff_cli.request.completion import complete

        return complete(arguments, COMMANDS)
    if not arguments:
        print(usage(COMMANDS), file=sys.stderr)
        return 2
    command, *rest = arguments
    if command in ("-h", "--help"):
        print(usage(COMMANDS) + "\n\n" + command_help("run", configs()))
        return 0
    if command == "--version":
        print(f"equidiff {__version__}")
        return 0
    if command not in COMMANDS:
        say(f"{command}: no such command; use one of {', '.join(COMMANDS)}")
        return 2
    if any(a in ("-h", "--help") for a in rest):
        print(command_help(command, configs(), "RUN..." if command in OF_RUNS else "[group=option]"))
        return 0
    return execute(command, rest)


def execute(command, arguments):
    """Do the jobs of a command; say what went wrong and return the highest exit code."""
    from equidiff_cli.request.launch import launch

    runs, overrides = split(arguments) if command in OF_RUNS else (None, arguments)
    if not interrupt.queued():
        signal.signal(signal.SIGTERM, terminated)
    try:
        if command == "run" and (asked := elsewhere(arguments)):
            from equidiff_cli.cluster.front import front

            with named_alone() as names:
                failures = front(asked, lambda path: print(shown(path), file=names, flush=True), say)
        else:
            failures = launch(command, overrides, lambda job: do(command, job, job.words if runs is None else runs))
    except OSError as error:
        failures = [WrongRequest(unwritable(error, command))]
    except (WrongRequest, Failed, Stopped) as error:
        failures = [error]
    except KeyboardInterrupt:
        failures = [Stopped(signal.SIGINT)]
    for failure in failures:
        say(failure)
    return max((failure.code for failure in failures), default=0)


def do(command, job, words):
    """Check, load, say what was chosen, work, and name what is made on standard output, as it is made."""
    from equidiff_cli.request.check import before
    from equidiff_cli.request.record import recording

    with named_alone() as names, recording(job) if command == "run" else nullcontext() as record:
        with preparing(command, job.directory):
            if job.refused:
                raise WrongRequest(job.refused)
            before(command, job.config, words)
            work = module(f"equidiff_cli.commands.{command}").prepare(job.config, job.directory, words)
        if job.note:
            say(job.note)
        with working(command, job.directory):
            if record:
                record.accept()
            for made in work():  # a path, or a line of a table
                print(shown(made) if isinstance(made, Path) else made, file=names, flush=True)


def module(name):
    """A module by name. What one with torch brings is not looked through for garbage while it comes, nor at the end of
    the process: it is much, and looking would take a tenth of a start."""
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.enable()
        atexit.register(gc.freeze)


def elsewhere(arguments):
    """What a run is asked of a cluster, or None; Hydra is imported only where a word may ask that."""
    from equidiff_cli.request.words import may_ask_a_cluster

    if not may_ask_a_cluster(arguments):
        return None
    from equidiff_cli.request.jobs import asked

    return asked(arguments)


def shown(path):
    """How a directory is named on standard output."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path


@contextmanager
def named_alone():
    """Standard output, for names of what is made alone: all else that is written to it meanwhile, from Python or below,
    goes to standard error.
    """
    out = sys.stdout
    try:
        number, other = out.fileno(), sys.stderr.fileno()
    except (io.UnsupportedOperation, AttributeError):  # no file: closed, or who called has put something in its place
        with redirect_stdout(sys.stderr):
            yield out
        return
    import ctypes

    out.flush()
    names = open(os.dup(number), "w", encoding=out.encoding, errors=out.errors)
    os.dup2(other, number)
    try:
        yield names
    finally:
        out.flush()
        ctypes.CDLL(None).fflush(None)  # what C keeps back until its buffer is full
        os.dup2(names.fileno(), number)
        with suppress(BrokenPipeError):
            names.close()


@contextmanager
def preparing(command, directory):
    """What goes wrong before the work begins is the request's fault, but for the network and what nobody foresaw."""
    try:
        yield
    except ConnectionError as error:
        raise Failed(str(error)) from error
    except OSError as error:
        raise WrongRequest(unwritable(error, command)) from error
    except ValueError as error:
        raise WrongRequest(str(error)) from error
    except Exception as error:
        raise unexpected(error, command, directory) from error


@contextmanager
def working(command, directory):
    """What goes wrong in the work is a failure, unless it says that the request was wrong."""
    try:
        yield
    except (WrongRequest, Failed):
        raise
    except OSError as error:
        raise Failed(unwritable(error, command)) from error
    except Exception as error:
        raise unexpected(error, command, directory) from error


def unexpected(error, command, directory):
    """`Failed` for an error that nobody foresaw, whose traceback goes into the log."""
    log.error("failed", exc_info=error)
    written = directory / f"{command}.log"
    where = f" (see {written})" if written.exists() else ""
    return Failed(f"failed: {type(error).__name__}: {error}{where}")


def terminated(number, frame):
    raise Terminated


def say(message):
    """One line on standard error."""
    print("equidiff: " + " ".join(str(message).split()), file=sys.stderr)


def unwritable(error, command):
    """What to say of a directory that cannot be made or written, a full disk, or a download that broke off."""
    if isinstance(error, ConnectionError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    hint = "; hydra.run.dir=... chooses another place" if command == "run" else ""
    return f"{where}{error.strerror or error}{hint}"


if __name__ == "__main__":
    sys.exit(main())
