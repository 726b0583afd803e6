"""From the words of a command to its jobs: Hydra composes their configurations and calls back with each."""

import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from equidiff_cli.errors import Failed, Stopped, WrongRequest
from equidiff_cli.request import mode
from equidiff_cli.request.auto import settle
from equidiff_cli.request.keep import sharing
from equidiff_cli.request.many import many
from equidiff_cli.request.messages import explained
from equidiff_cli.request.schema import configs, register
from equidiff_cli.request.settings import refused
from equidiff_cli.request.sweep import empty_sweep
from equidiff_cli.request.words import flags_first, spelled, unknown_flag
from equidiff_cli.runs.pictures import forget, write

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One configuration to do.

    Args:
        directory: made by Hydra for its output.
        sweep: the directory of the sweep that it belongs to, or None.
        words: the overrides it was composed of.
        note: what a person should know of what was chosen, or None.
        refused: what is wrong with the settings of Hydra itself, or None.
    """

    config: DictConfig
    directory: Path
    sweep: str | None
    words: list
    note: str | None
    refused: str | None

    @classmethod
    def of(cls, config):
        """The job that Hydra has composed `config` for."""
        context = HydraConfig.get()
        choices = context.runtime.choices
        return cls(
            config=config,
            directory=Path(context.runtime.output_dir),
            sweep=context.sweep.dir if context.mode.name == "MULTIRUN" or "id" in context.job else None,
            words=list(context.overrides.task),
            note=f"prior=auto: {choices['prior/choice@prior']}" if choices.get("prior") == "auto" else None,
            refused=refused(context),
        )


def launch(command, arguments, do):
    """Call `do(job)` for every job that the `arguments` of a command ask for; returns what failed.

    A job of a sweep that fails does not stop the others. Raises `WrongRequest` for words that make no configuration,
    `Stopped` where a signal ended the work.
    """
    register()
    settle(arguments)
    words = flags_first(spelled(command, arguments))
    if problem := unknown_flag(words, command) or empty_sweep(words):
        raise WrongRequest(problem)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of being printed by Hydra
    sys.path.insert(0, "")  # a user's own `_target_` may live in the current directory
    failures, home = [], os.getpid()
    several = many(words) if command == "run" else None

    def job(config):
        one = Job.of(config)
        if one.refused:
            os.chdir(HydraConfig.get().runtime.cwd)  # where Hydra may have left it for the output
        try:
            do(one)
        except (Stopped, KeyboardInterrupt) as error:
            stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
            if one.sweep:
                stopped.again = f"hydra.sweep.dir={one.sweep}"
            raise stopped from None
        except (WrongRequest, Failed) as error:
            if one.sweep:
                log.error("equidiff: %s", error)
            if os.getpid() != home:  # in a launcher's own process, whose result would be lost
                raise
            failures.append(type(error)(f"{one.directory}: {error}") if one.sweep else error)

    job.__module__, job.__name__ = __name__, command

    def start(words):
        sys.argv = [sys.argv[0], *words]
        with explained(configs(), words), mode.known(words):
            hydra.main(version_base="1.3", config_path=str(configs()), config_name=command)(job)()

    if several is None:
        start(words)
    else:
        each(several, start, failures)
    return failures


def each(several, start, failures):
    """Start the runs of `Many`, one after another with the networks that they share, and keep their table."""
    runs = [run[:2] for run in several.runs]
    write(several.parent, runs)
    with sharing():
        for _, _, words in several.runs:
            GlobalHydra.instance().clear()
            try:
                start(words)
            except WrongRequest as error:
                failures.append(error)
            except Stopped as stopped:
                stopped.again = f"hydra.run.dir={several.parent}"
                raise
            finally:
                write(several.parent, runs)
    forget(several.parent)
