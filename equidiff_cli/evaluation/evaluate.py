"""All sections of one run put together: what `evaluation.json` holds."""

from equidiff_cli.evaluation.agreement import agreement
from equidiff_cli.evaluation.cost import cost
from equidiff_cli.evaluation.diversity import diversity
from equidiff_cli.evaluation.frequency import frequency
from equidiff_cli.evaluation.invariance import invariance
from equidiff_cli.evaluation.realism import realism

FORMAT = 1
SECTIONS = (invariance, frequency, diversity, realism, agreement, cost)


def evaluate(case):
    """The evaluation of a `Case` as plain dicts, lists and numbers; see docs/evaluation.md."""
    run = case.run
    sections = [section(case) for section in SECTIONS]
    columns = {name: about for section in sections for name, about in section.columns.items()}
    values = {name: entries for section in sections for name, entries in section.values.items()}
    rows = [
        {"index": record["index"], "file": record["file"], "status": record["status"]}
        | {name: entries[i] for name, entries in values.items()}
        for i, record in enumerate(run.records)
    ]
    return {
        "format": FORMAT,
        "complete": run.complete,
        "warnings": run.warnings,
        "missing": run.missing,
        "null_spread": case.spread,
        "null_samples": len(case.unguided),
        "per_sample": rows,
        "columns": columns,
        "metrics": [metric for section in sections for metric in section.metrics],
        "curves": [curve for section in sections for curve in section.curves],
    }
