"""equidiff evaluate: measure runs again from their files, and say what chance gives."""

import json
import logging
import os
import sys
from pathlib import Path

import torch
from huggingface_hub.utils import disable_progress_bars
from omegaconf import OmegaConf
from rich.console import Console

from equidiff_cli.checks import number, one_of
from equidiff_cli.engine.device import pick_device
from equidiff_cli.errors import Failed, WrongRequest
from equidiff_cli.evaluation.evaluate import evaluate
from equidiff_cli.files import whole
from equidiff_cli.parts.filters import LEAST
from equidiff_cli.request import build as configuration
from equidiff_cli.request.check import complete
from equidiff_cli.runs.names import expand, is_run
from equidiff_cli.runs.writer import finite
from equidiff_cli.study.case import Case
from equidiff_cli.study.members import read
from equidiff_cli.study.models import Models
from equidiff_cli.study.table import FIRST_COLUMNS, comparison, csv_of, row_of, table_of

log = logging.getLogger(__name__)
WIDTH = 120  # of tables where there is no terminal
EVALUATION, COMBINED = "evaluation.json", "evaluation.csv"


def prepare(config, directory, runs):
    """Check the request; `ValueError` for what is wrong with it.

    Args:
        runs: the directories that were given.

    Returns a function without arguments that does the work, a generator of the evaluated directories.
    """
    check(config)
    if not runs:
        raise ValueError("no run given; name run directories, such as outputs/2026-01-31/12-00-00-000000")
    if not sys.stderr.isatty():
        disable_progress_bars()
    device = pick_device(config.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return lambda: work(config, runs, device)


def check(config):
    """`ValueError` for the first option out of range."""
    complete(config)
    number("null_samples", config.null_samples, minimum=16, whole=True)
    for name, bounds in (("tolerances", dict(above=0)), ("cutoffs", dict(minimum=LEAST, maximum=1))):
        if not config[name]:
            raise ValueError(f"{name}=[]: must be a list of numbers, such as {name}=[0.1,0.5]")
        for value in config[name]:
            number(name, value, **bounds)
    for quality in config.jpeg:
        number("jpeg", quality, minimum=1, maximum=95, whole=True)
    number("likelihood", config.likelihood, minimum=0, whole=True)
    number("probes", config.probes, minimum=2, whole=True)
    number("likelihood_steps", config.likelihood_steps, minimum=2, whole=True)
    number("seed", config.seed, minimum=0, maximum=2**32 - 1, whole=True)
    number("batch", config.batch, minimum=1, whole=True)
    if config.heldout != "auto":
        alone = isinstance(config.heldout, str)
        if not alone and not OmegaConf.is_list(config.heldout):
            raise ValueError(f"heldout={config.heldout}: must be auto, a name or a list such as [smallresnet]")
        options = configuration.options("target")
        for name in [config.heldout] if alone else config.heldout:
            if name not in options or not configuration.is_whole("target", name):
                whole = [other for other in options if configuration.is_whole("target", other)]
                one_of("heldout", name, ["auto", *whole] if alone else whole)
    if config.real is not None and not Path(config.real).is_dir():
        raise ValueError(f"real={config.real}: there is no such folder; give a folder of pictures")
    if config.output is not None:
        check_output(config.output)


def check_output(output):
    """`ValueError` if the table cannot be written to the file `output`, or that is a file of another kind."""
    file = Path(output).resolve()
    if not file.parent.is_dir():
        raise ValueError(f"output={output}: there is no folder {file.parent}")
    if file.suffix.lower() != ".csv" or file.is_dir():
        raise ValueError(f"output={output}: must be a .csv file")
    if file.exists() and (content := file.read_bytes()) and not content.startswith(FIRST_COLUMNS.encode()):
        raise ValueError(f"output={output}: exists and was not made by equidiff evaluate; choose another name")


def work(config, given, device):
    """Evaluate every run and yield its directory; what goes wrong with one is said, and the others go on."""
    models, console = Models(device, config), Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    jobs, wrong = listed(given)
    broken, rows = [], {}
    for count, path in enumerate(jobs, 1):
        try:
            if not os.access(path, os.W_OK):
                raise ValueError(f"{path}: cannot be written to, so {EVALUATION} would be lost")
            run = read(path)
            progress = f"{path}: {len(run.records)} samples, run {count} of {len(jobs)}"
            console.print(progress, highlight=False, markup=False, soft_wrap=True)
            evaluation = finite(evaluate(case_of(run, models, config)))
            with whole(path / EVALUATION) as beside:
                beside.write_text(json.dumps(evaluation, indent=1, allow_nan=False) + "\n")
        except (ValueError, ConnectionError) as error:
            wrong.append(str(error))
            continue
        except OSError as error:
            broken.append(f"{path}: {error.filename or ''} {error.strerror or error}")
            continue
        except Exception as error:  # the other runs are not to suffer from it
            log.exception("%s", path)
            broken.append(f"{path}: {type(error).__name__}: {error}")
            continue
        for warning in run.warnings:
            log.warning("equidiff: %s: %s", path, warning)
        if len(jobs) == 1:
            console.print(table_of(path, evaluation))
        rows[path] = row_of(path, overrides(path), run.summary, evaluation)
        yield path
    combine(given, rows, config.output, console)
    if failures := broken + wrong:
        total = len(rows) + len(failures)
        summary = f"{len(failures)} of {total} were not evaluated: " if total > 1 else ""
        raise (Failed if broken else WrongRequest)(summary + "; ".join(failures))


def listed(given):
    """The runs that the given directories stand for, each once, and what is wrong with the others."""
    jobs, failures = {}, []
    for word in given:
        try:
            found = expand(word)
        except ValueError as error:
            failures.append(str(error))
            continue
        begun = [job for job in found if is_run(job)]
        if len(begun) < len(found):
            log.warning("equidiff: %s: %d of %d jobs left no run", word, len(found) - len(begun), len(found))
        jobs |= {job.resolve(): job for job in begun if job.resolve() not in jobs}
    return list(jobs.values()), failures


def case_of(run, models, config):
    """The run with its models, ready to be measured."""
    prior, target = models.load(run)
    query = run.query.to(models.device)
    objective = configuration.build(run.config, "objective", target, query)
    heldout, reason = models.heldout(run, target)
    real = models.real(run)
    null = models.unguided()
    return Case(run, prior, target, objective, null, heldout, reason, real, config, models.null_likelihood)


def overrides(path):
    """What was given when the run was started, in one line."""
    file = path / ".hydra" / "overrides.yaml"
    return " ".join(OmegaConf.load(file)) if file.exists() else ""


def combine(given, rows, output, console):
    """The table of several runs, and its CSV file for each sweep and for `output`."""
    if len(rows) > 1:
        console.print(comparison(list(rows.values())))
    sweeps = {Path(word): [row for path, row in rows.items() if path.parent == Path(word)] for word in given}
    files = {sweep / COMBINED: of for sweep, of in sweeps.items() if of}
    if output is not None and rows:
        files[Path(output)] = list(rows.values())
    for file, of in files.items():
        with whole(file) as beside:
            beside.write_text(csv_of(of))
        log.info("equidiff: %d runs in %s", len(of), file)
