"""All sections of one run put together: what `evaluation.json` holds."""

from equidiff_cli.evaluation.advice import asked
from equidiff_cli.evaluation.agreement import agreement
from equidiff_cli.evaluation.conclusions import conclusions
from equidiff_cli.evaluation.cost import cost
from equidiff_cli.evaluation.counterfactual import counterfactual
from equidiff_cli.evaluation.diversity import diversity
from equidiff_cli.evaluation.frequency import frequency
from equidiff_cli.evaluation.invariance import invariance
from equidiff_cli.evaluation.mixing import mixed, mixing
from equidiff_cli.evaluation.realism import realism
from equidiff_cli.evaluation.seen import seen
from equidiff_cli.evaluation.typical import typical

FORMAT = 1
SECTIONS = (invariance, counterfactual, frequency, diversity, realism, typical, agreement, cost, mixing)


def evaluate(case):
    """The evaluation of a `Case` as plain dicts, lists and numbers; see docs/evaluation.md."""
    run = case.run
    sections = [section(case) for section in SECTIONS]
    columns = {name: about for section in sections for name, about in section.columns.items()}
    values = {name: entries for section in sections for name, entries in section.values.items()}
    rows = [
        {key: record[key] for key in ("index", "file", "status", "on_file") if key in record}
        | {name: entries[i] for name, entries in values.items()}
        | {"seen": networks}
        for i, (record, networks) in enumerate(zip(run.records, seen(case.samples), strict=True))
    ]
    evaluation = {
        "format": FORMAT,
        "complete": run.complete,
        "warnings": run.warnings,
        "missing": run.missing,
        "null_spread": case.spread,
        "null_samples": len(case.unguided),
        "null_middle": case.unguided.values.mean(0).tolist(),
        "question": case.asked,
        "query_seen": seen(case.query)[0],
        "per_sample": rows,
        "columns": columns,
        "metrics": [metric for section in sections for metric in section.metrics],
        "curves": [curve for section in sections for curve in section.curves],
    }
    return evaluation | {"findings": conclusions(evaluation, asked(run)) + mixed(case, evaluation["metrics"])}
