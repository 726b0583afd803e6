"""All sections of one run put together: what `explanation.json` holds."""

from equidiff_cli.explain.agreement import agreement, table
from equidiff_cli.explain.completeness import completeness
from equidiff_cli.explain.concepts import automatic, concepts
from equidiff_cli.explain.control import control
from equidiff_cli.explain.faithfulness import faithfulness
from equidiff_cli.explain.layout import layout
from equidiff_cli.explain.maps import words
from equidiff_cli.explain.summary import findings
from equidiff_cli.explain.units import ranked, units
from equidiff_cli.explain.variety import variety

FORMAT = 1
SECTIONS = (completeness, agreement, faithfulness, variety, control, layout, concepts, automatic, units)


def explain(case):
    """The explanation of an `Explained` as plain dicts, lists and numbers; see docs/explanations.md."""
    run, sections = case.case.run, [section(case) for section in SECTIONS]
    metrics = [metric for section in sections for metric in section.metrics]
    columns = {name: about for section in sections for name, about in section.columns.items()}
    values = {name: entries for section in sections for name, entries in section.values.items()}
    return {
        "format": FORMAT,
        "complete": run.complete,
        "warnings": run.warnings + case.notes,
        "missing": run.missing,
        "members": len(case.members),
        "no_members": case.left_out,
        "unguided": len(case.unguided),
        "layers": case.layers,
        "methods": [{"name": name, "title": words(name)} for name in case.methods],
        "refused": case.refused,
        "per_sample": [
            {key: record[key] for key in ("index", "file")} | {name: entries[i] for name, entries in values.items()}
            for i, record in enumerate(case.members)
        ],
        "columns": columns,
        "metrics": metrics,
        "curves": [curve for section in sections for curve in section.curves],
        "pairs": table(case),
        "clusters": case.found.members if case.found else {},
        "units": ranked(case),
        "findings": findings(metrics, case),
    }
