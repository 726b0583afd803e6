"""equidiff run: draw members of the invariant set into a run directory, or go on where an earlier run stopped there."""

import sys

from huggingface_hub.utils import disable_progress_bars

from equidiff_cli.engine.interrupt import deferred
from equidiff_cli.engine.progress import Progress
from equidiff_cli.errors import Interrupted
from equidiff_cli.metrics.interval import clopper_pearson
from equidiff_cli.request.build import build
from equidiff_cli.runs.hindsight import advice
from equidiff_cli.runs.recorder import Recorder
from equidiff_cli.runs.state import State, agree
from equidiff_cli.runs.writer import RunDir


def prepare(config, directory, words=()):
    """Build everything that the request names and claim the directory; `ValueError` for what is wrong with it.

    Args:
        words: the overrides that were given.

    Returns a function without arguments that does the work and returns the directory.
    """
    if not sys.stderr.isatty():
        disable_progress_bars()
    parts = build(config, words)
    run = RunDir.claim(directory, parts.medium, parts.identity, config.lock)
    agree(run, parts)
    return lambda: work(parts, run)


def work(parts, run):
    """Draw the samples; every event is taken by what writes it down, what shows it and what can go on from it."""
    if run.finished:
        return [run.path]
    length = getattr(parts.method, "length", 0)  # moves of a chain, where there is one
    progress = Progress(len(parts.seeds), parts.steps, parts.threshold, length)

    def say(how, plan):
        progress.say(f"{run.path}: {parts.asks}; {how} ({plan})")

    for line in parts.summary["warnings"]:
        progress.say(f"warning: {line}")
    run.save_query(parts.picture)
    if parts.region is not None:
        run.save_region(parts.region)
    new, state = run.facts is None, State.of(run, parts, say)
    if new and (forecast := getattr(parts.method, "forecast", None)):
        line = forecast(parts.prior, parts.question, len(parts.seeds), parts.null_samples, state.memory)
        progress.say(line)
        progress.foretold = True
    progress.resume(run.records())
    recorder = Recorder(run, parts, state)
    with deferred() as signals, progress:
        for event in parts.method(parts.prior, parts.question, state.slots, state.memory):
            for listener in (recorder, progress, state):
                listener.take(event)
            if signals and state.settled:
                state.save()
                if signals.stop:
                    raise Interrupted(signals.stop, run.path)
                signals.clear()
        facts, outcome = account(parts, run.records())
        late = recorder.close(facts)
    if signals.stop:  # while the last files were written; in a sweep there may be more to do
        raise Interrupted(signals.stop, run.path)
    for line in late:
        progress.say(f"warning: {line}")
    found = "; ".join(filter(None, (progress.counts(), recorder.lost())))
    progress.say(f"{found}; pictures in {run.samples}, side by side in {run.grid}")
    if getattr(parts.question, "endless", False):
        progress.say("what is raised or lowered has no end: the budget was used up; samples.jsonl has the values")
    elif outcome:
        progress.say(outcome)
    return [run.path]


def account(parts, records):
    """What the method has to say of its finished samples: facts for the summary, and a line or None."""
    if hasattr(parts.method, "account"):
        return parts.method.account(records, clopper_pearson)
    return {}, advice(records, parts.steps, parts.threshold)
