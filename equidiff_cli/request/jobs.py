"""From the words of `equidiff run` to the runs that a cluster is to do: composed and checked, nothing is made yet."""

import os
import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from equidiff_cli.errors import WrongRequest
from equidiff_cli.files import whole
from equidiff_cli.pictures.read import piped
from equidiff_cli.request.auto import VARIABLE, settle
from equidiff_cli.request.check import before
from equidiff_cli.request.cluster import check_installed
from equidiff_cli.request.job import Task
from equidiff_cli.request.many import many
from equidiff_cli.request.messages import explained
from equidiff_cli.request.schema import composing, configs
from equidiff_cli.request.sweep import empty_sweep
from equidiff_cli.request.words import WITH_VALUE, flags_first, unknown_flag
from equidiff_cli.runs import names
from equidiff_cli.runs.pictures import write

SHOWS = re.compile(r"--?(cfg|c|info|i|hydra-help|version|shell-completion|sc|help|h)(=|$)")  # options that run nothing
LATENT = "equidiff_cli.methods.latent.Latent"  # whose batches can be filled up, so that shards change no bytes
FRONT = re.compile(r"[+~]*(cluster|shards?|hydra\.(sweep|run|mode|launcher|job\.(num|id))|hydra/launcher)\b")


@dataclass(frozen=True)
class Wanted:
    """One run that was asked for: its directory, how many samples it is to have, and the tasks that make it."""

    directory: Path
    samples: int
    tasks: list

    @property
    def shared(self):
        """Whether its tasks are shards, to be merged into it."""
        return self.tasks[0].directory != self.directory


@dataclass(frozen=True)
class Asked:
    """What a cluster is asked for.

    Args:
        cluster: the group of this name, a dict.
        config: composed for the whole sweep, with Hydra's own settings.
        sweep: the directory of all runs.
        runs: the `Wanted`, in order.
        query: the bytes of a query from standard input, to be kept beside the runs, or None.
        pictures: (picture, name of its directory) of each of many queries.
    """

    cluster: dict
    config: DictConfig
    sweep: Path
    runs: list
    query: bytes | None
    pictures: list

    @property
    def engine(self):
        return self.cluster["engine"]

    @property
    def again(self):
        """What to add to the same command so that it finds these runs again."""
        return f"hydra.sweep.dir={os.path.relpath(self.sweep)}"

    def prepare(self):
        """Make the directory of the runs, with what Hydra would leave in it."""
        self.sweep.mkdir(parents=True, exist_ok=True)
        with whole(self.sweep / names.SWEEP) as beside:
            OmegaConf.save(self.config, beside)
        if self.query is not None:
            with whole(self.sweep / names.PIPED) as beside:
                beside.write_bytes(self.query)
        self.note()

    def note(self):
        """Write down what has come of each of many queries."""
        if self.pictures:
            write(self.sweep, self.pictures)


def asked(arguments):
    """The `Asked` of the words of `equidiff run`; None if they are to be done here, or only to be shown.

    Raises `WrongRequest` for what is wrong with any of the runs.
    """
    words = flags_first(arguments)
    if any(SHOWS.match(word) for word in words) or unknown_flag(words, "run") or empty_sweep(words):
        return None  # said by who would do it here
    settle(words)
    with explained(configs(), words):
        several = many(words)
    flags, folder, overrides = parted(words)
    if several:
        overrides = [word for word in overrides if not word.startswith("query=")]
    search = [f"hydra.searchpath=[{quoted(Path(folder).absolute())}]"] if folder else []
    with explained(configs(), words), composing():
        config = GlobalHydra.instance().hydra.compose_config(
            "run", [*overrides, *search], RunMode.MULTIRUN, validate_sweep_overrides=False
        )
        cluster = OmegaConf.to_container(config.cluster, resolve=True)
        if cluster["engine"] == "none":
            if config.get("shards", 1) != 1 and config.shard is None:
                raise WrongRequest(
                    f"shards={config.shards}: needs jobs to share the samples; add cluster=joblib, slurm or ray"
                )
            return None
        if cluster.get("gpus"):
            os.environ[VARIABLE] = "lightningdit_xl"  # what is composed to be checked; each job decides for itself
        refuse(overrides)
        sweep = Path(several.parent if several else config.hydra.sweep.dir).absolute()
        parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(overrides)
        (jobs,) = BasicSweeper.split_arguments(parsed, None)
        runs, query, loader = [], None, GlobalHydra.instance().config_loader()
        for name, own in [(run[1], of_picture(run[2], words)) for run in several.runs] if several else [(None, [])]:
            for number, job in enumerate(jobs):
                one = loader.load_sweep_config(config, [*job, *own, *search])
                with open_dict(one):
                    one.hydra.job.num, one.hydra.job.id = number, str(number)
                    if name:  # the folder of a picture is its run's, or holds those of its sweep
                        one.hydra.sweep.subdir = f"{name}/{number}" if len(jobs) > 1 else name
                runs.append(wanted(one, [*job, *own], flags, sweep, number))
                query = query or (piped() if one.query == "-" else None)
    check_installed(cluster["engine"])
    where = [run.directory for run in runs]
    if len(set(where)) < len(where):
        raise WrongRequest(f"hydra.sweep.subdir={config.hydra.sweep.subdir}: gives several runs the same directory")
    return Asked(cluster, config, sweep, runs, query, [run[:2] for run in several.runs] if several else [])


def wanted(config, job, flags, sweep, number):
    """The `Wanted` of one composed configuration, once nothing is found to be wrong with it."""
    HydraConfig.instance().set_config(config)
    directory = sweep / str(config.hydra.sweep.subdir)
    plain = deepcopy(config)
    with open_dict(plain):
        del plain["hydra"]
    try:
        before("run", plain, job)
    except ValueError as error:
        raise WrongRequest(str(error)) from error
    own = [word for word in job if not FRONT.match(word)]
    if plain.query == "-":
        own = [word for word in own if not word.startswith("query=")] + [f"query={quoted(sweep / names.PIPED)}"]

    def task(folder, *more):
        place = [f"hydra.run.dir={quoted(folder)}", f"hydra.sweep.dir={quoted(sweep)}"]
        known = [f"hydra.job.num={number}", f"hydra.job.id='{number}'"]
        return Task(folder, [*flags, *own, "cluster=none", *more, *place, *known])

    if plain.shards == 1:
        return Wanted(directory, plain.samples, [task(directory)])
    count = plain.shards
    folders = [directory / names.SHARDS / f"{k:03d}" for k in range(count)]
    more = [f"shards={count}", *(["pad=true"] if plain.method.get("_target_") == LATENT else [])]
    return Wanted(directory, plain.samples, [task(f, *more, f"shard={k}") for k, f in enumerate(folders)])


def of_picture(run, words):
    """What is said of one of many queries beyond the `words` of all, but for its place."""
    return [word for word in run if word not in words][:-1]


def parted(words):
    """(options for the jobs, the folder that --config-dir names or None, overrides) of words in order."""
    flags, folder, rest = [], None, list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word in WITH_VALUE:
            name, value = word, rest.pop(0)
        if name in ("-m", "--multirun"):
            continue
        if name in ("--config-dir", "-cd"):
            folder = value
        flags += [word] if equals or word not in WITH_VALUE else [word, value]
    return flags, folder, rest


def refuse(overrides):
    """`WrongRequest` for what a job is told by us."""
    for word in overrides:
        if re.match(r"\+*(hydra\.run\.dir|hydra/launcher|hydra\.launcher|shard)\b", word):
            hint = "runs of a cluster lie below hydra.sweep.dir" if "run.dir" in word else "cluster=... says that"
            raise WrongRequest(f"{word}: {hint}; leave it out")


def quoted(value):
    """A text as a value for Hydra."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
