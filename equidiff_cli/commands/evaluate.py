"""equidiff evaluate: measure runs again from their files, and say what chance gives."""

import logging
from pathlib import Path

from equidiff_cli.commands.several import Several, writable
from equidiff_cli.evaluation.evaluate import evaluate
from equidiff_cli.files import finite, whole, write_json
from equidiff_cli.request.check import check_evaluation
from equidiff_cli.runs.names import EVALUATION, EVALUATIONS
from equidiff_cli.study.members import read
from equidiff_cli.study.table import comparison, csv_of, row_of, sentences, table_of, telling

log = logging.getLogger(__name__)


def prepare(config, directory, words):
    """Check the request; `ValueError` for what is wrong with it.

    Args:
        words: the directories that were given, of runs and of sweeps.

    Returns a function without arguments that does the work, a generator of the evaluated directories.
    """
    check_evaluation(config)
    runs = Several(words, config, "evaluated")
    return lambda: work(config, words, runs)


def work(config, given, runs):
    """Evaluate every run and yield its directory, then write the tables of several."""
    rows = {}
    for path, (run, evaluation) in runs.each(lambda path: evaluated(path, runs.models)):
        for warning in run.warnings:
            log.warning("equidiff: %s: %s", path, warning)
        if len(runs.paths) == 1 or config.all:
            show(path, evaluation, config.all, runs)
        rows[path] = row_of(path, " ".join(run.overrides), run.summary, evaluation)
        yield path
    combine(given, rows, config.output, runs.console)
    runs.end()


def evaluated(path, models):
    """A run and its evaluation, which is written into its directory."""
    writable(path, EVALUATION)
    run = read(path)
    evaluation = finite(evaluate(models.case(run)))
    write_json(path / EVALUATION, evaluation)
    return run, evaluation


def show(path, evaluation, everything, runs):
    """What was found, and its numbers: a dozen or all."""
    for sentence in sentences(evaluation):
        runs.say(sentence)
    metrics = evaluation["metrics"] if everything else telling(evaluation["metrics"])
    runs.console.print(table_of(path, metrics))
    if len(metrics) < len(evaluation["metrics"]):
        file = path / EVALUATION
        runs.say(f"{len(metrics)} of {len(evaluation['metrics'])} numbers; --all shows the others, {file} has them")


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
