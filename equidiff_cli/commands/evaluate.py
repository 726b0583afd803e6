"""equidiff evaluate: measure runs again from their files, and say what chance gives."""

import json
import logging
import os
import sys
from pathlib import Path

import torch
from huggingface_hub.utils import disable_progress_bars
from rich.console import Console

from equidiff_cli.engine.device import pick_device
from equidiff_cli.errors import Failed, WrongRequest
from equidiff_cli.evaluation.evaluate import evaluate
from equidiff_cli.files import finite, whole
from equidiff_cli.request.check import check_evaluation
from equidiff_cli.runs.names import EVALUATION, EVALUATIONS, expand, is_run
from equidiff_cli.study.members import read
from equidiff_cli.study.models import Models
from equidiff_cli.study.table import comparison, csv_of, row_of, sentences, table_of, telling

log = logging.getLogger(__name__)
WIDTH = 120  # of tables where there is no terminal


def prepare(config, directory, words):
    """Check the request; `ValueError` for what is wrong with it.

    Args:
        words: the directories that were given, of runs and of sweeps.

    Returns a function without arguments that does the work, a generator of the evaluated directories.
    """
    check_evaluation(config)
    if not words:
        raise ValueError("no run given; name run directories, such as outputs/2026-01-31/12-00-00-000000")
    if not sys.stderr.isatty():
        disable_progress_bars()
    device = pick_device(config.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return lambda: work(config, words, device)


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
            evaluation = finite(evaluate(models.case(run)))
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
        if len(jobs) == 1 or config.all:
            show(path, evaluation, config.all, console)
        rows[path] = row_of(path, " ".join(run.overrides), run.summary, evaluation)
        yield path
    combine(given, rows, config.output, console)
    if failures := broken + wrong:
        total = len(rows) + len(failures)
        summary = f"{len(failures)} of {total} were not evaluated: " if total > 1 else ""
        raise (Failed if broken else WrongRequest)(summary + "; ".join(failures))


def show(path, evaluation, everything, console):
    """What was found, and its numbers: a dozen or all."""
    for sentence in sentences(evaluation):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    metrics = evaluation["metrics"] if everything else telling(evaluation["metrics"])
    console.print(table_of(path, metrics))
    if len(metrics) < len(evaluation["metrics"]):
        file = path / EVALUATION
        rest = f"{len(metrics)} of {len(evaluation['metrics'])} numbers; --all shows the others, {file} has them"
        console.print(rest, highlight=False, markup=False, soft_wrap=True)


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


def combine(given, rows, output, console):
    """The table of several runs, and its CSV file for each sweep and for `output`."""
    if len(rows) > 1:
        console.print(comparison(list(rows.values())))
    sweeps = {Path(word): [row for path, row in rows.items() if Path(word) in path.parents] for word in given}
    files = {sweep / EVALUATIONS: of for sweep, of in sweeps.items() if of}
    if output is not None and rows:
        files[Path(output)] = list(rows.values())
    for file, of in files.items():
        with whole(file) as beside:
            beside.write_text(csv_of(of))
        log.info("equidiff: %d runs in %s", len(of), file)
