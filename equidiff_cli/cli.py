"""The `equidiff` command: the command table, exit codes, help and shell completion.

Nothing heavy is imported before a command runs, so that help and completion answer at once.
"""

import logging
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from equidiff_cli import __version__
from equidiff_cli.errors import Failed, Interrupted, Terminated, WrongRequest
from equidiff_cli.request.help import command_help, usage
from equidiff_cli.request.schema import configs
from equidiff_cli.request.words import flags_first, split

COMMANDS = {  # name: what it does; the module commands/<name>.py has `prepare(config, directory) -> work`
    "run": "draw pictures that the target cannot tell from the query",
    "fetch": "bring the weights of a prior and a target into the cache ahead",
    "evaluate": "measure runs again from their files, beside what chance gives",
    "report": "put runs on one HTML page, or their pictures into a figure",
}
OF_RUNS = ("evaluate", "report")  # commands whose words name run directories: `prepare(config, directory, runs)`
log = logging.getLogger(__name__)


def main():
    """Entry point; returns the exit code."""
    try:
        code = command_line(sys.argv[1:])
        sys.stdout.flush()
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
    """Let Hydra compose the configuration and run `command`; translate what goes wrong into an exit code."""
    import hydra
    from hydra._internal.utils import get_args_parser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from equidiff_cli.request.auto import settle
    from equidiff_cli.request.messages import explain
    from equidiff_cli.request.schema import register

    register()
    settle(arguments)
    runs, arguments = split(arguments) if command in OF_RUNS else (None, arguments)
    words, parser = flags_first(arguments), get_args_parser()
    parser.error = lambda message: (say(message), sys.exit(2))  # a line instead of a page
    unknown = [word for word in parser.parse_known_args(words)[1] if word.startswith("-")]
    if unknown:
        say(f"{unknown[0]}: no such option; values are given as key=value, {command} --help lists the keys")
        return 2
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of being printed by Hydra
    sys.argv = [sys.argv[0], *words]
    sys.path.insert(0, "")  # a user's own `_target_` may live in the current directory
    signal.signal(signal.SIGTERM, terminated)
    failures = []
    try:
        job = job_of(command, failures, runs)
        hydra.main(version_base="1.3", config_path=str(configs()), config_name=command)(job)()
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        failures.append((2, explain(error, configs(), arguments)))
    except OSError as error:
        failures.append((2, unwritable(error, command) if error.errno else explain(error, configs(), arguments)))
    except (Interrupted, KeyboardInterrupt, Terminated) as error:
        number, again = getattr(error, "number", signal.SIGINT), getattr(error, "again", None)
        said = str(error) or "interrupted"
        goes_on = f"; the same command with {again} goes on" if again else ""
        failures.append((128 + number, said + goes_on))
    for _, message in failures:
        say(message)
    return max((code for code, _ in failures), default=0)


def job_of(command, failures, runs=None):
    """The function that Hydra calls with each composed configuration; what goes wrong is added to `failures`.

    It returns even then, so that the other jobs of a sweep go on; only a launcher's own process gets the exception.
    """
    home = os.getpid()

    def job(config):
        from hydra.core.hydra_config import HydraConfig

        directory = Path(HydraConfig.get().runtime.output_dir)
        sweep = HydraConfig.get().mode.name == "MULTIRUN"
        choices = HydraConfig.get().runtime.choices
        note = f"prior=auto: {choices['prior/choice@prior']}" if choices.get("prior") == "auto" else None
        try:
            run_one(command, config, directory, sweep=sweep, note=note, runs=runs)
        except (Interrupted, KeyboardInterrupt, Terminated) as error:
            if sweep:
                error.again = f"hydra.sweep.dir={HydraConfig.get().sweep.dir}"
            raise
        except (WrongRequest, Failed) as error:
            if sweep:
                log.error("equidiff: %s", error)
            if os.getpid() != home:
                raise
            failures.append((error.code, f"{directory}: {error}" if sweep else str(error)))

    job.__module__, job.__name__ = __name__, command
    return job


def run_one(command, config, directory, sweep, note=None, runs=None):
    """Check, load, say the `note`, work and name the directory (or what the work gave) on standard output.

    A request that turns out to be wrong leaves no directory behind, but in a sweep its record.
    """
    from equidiff_cli.request.record import Place

    prepare = import_module(f"equidiff_cli.commands.{command}").prepare
    place = Place(directory) if command == "run" else None
    try:
        work = prepare(config, directory) if runs is None else prepare(config, directory, runs)
    except BaseException as error:
        stopped = not isinstance(error, Exception)
        wrong = isinstance(error, (ValueError, OSError)) and not isinstance(error, ConnectionError)
        if place and not place.begun:  # else it is the directory of an earlier run, or of another process
            with suppress(OSError):
                place.clear() if stopped or (wrong and not sweep) else place.record(config)
        if stopped:
            raise
        if wrong:
            raise WrongRequest(unwritable(error, command) if isinstance(error, OSError) else str(error)) from error
        if isinstance(error, ConnectionError):
            raise Failed(str(error)) from error
        raise unexpected(error, command, directory) from error
    if note:
        say(note)
    try:
        if place and not place.finished:
            place.record(config)
        made = work()
        for path in [directory] if made is None else made:
            print(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path, flush=True)
    except WrongRequest:
        if place:
            place.release() if sweep or not place.empty else place.clear()
        raise
    except Failed:
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
    raise Terminated("terminated before there was anything to save")


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
