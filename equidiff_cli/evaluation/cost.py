"""What a successful sample costs, against simply drawing until one fits."""

from equidiff_cli.metrics.error import errors, success
from equidiff_cli.study.findings import Section

NO_NULL = "unguided samples were not timed in this run"


def cost(case):
    """The section `cost` of a case; a sample is successful if its saved picture is within the first tolerance."""
    summary, section = case.run.summary, Section("cost", len(case.pictures))
    tolerance = case.options.tolerances[0]
    found = errors(case.values, case.target_values) / case.spread
    chance = success(errors(case.null_values, case.target_values) / case.spread, tolerance)
    good = int((found <= tolerance).sum())
    none = None if good else f"no sample is within {tolerance:g} null spreads"
    if case.run.missing:
        gone = ", ".join(gap["file"] for gap in case.run.missing)
        none = f"deleted or replaced, so that successful samples cannot be counted: {gone}"
    unfinished = None if summary else "the run is not finished"
    about = f"Successful: the saved picture is within {tolerance:g} null spreads. "
    section.metric(
        "nfe",
        "network evaluations a successful sample",
        lambda: case.run.evaluations / good,
        unit="evaluations of the velocity network",
        null=(lambda: case.prior.evaluations / chance) if chance else None,
        null_reason=f"none of {len(case.null_values)} unguided samples is within {tolerance:g} null spreads",
        reason=none,
        better="lower",
        source="all evaluations of the run divided by its successful samples; unguided: drawing until one fits",
        about=about + "Forward passes; what is computed again for gradients does not count.",
    )
    for name, title, total, unit in (
        ("seconds", "seconds a successful sample", lambda: summary["wall_seconds"], "s"),
        (
            "memory_time",
            "memory times time a successful sample",
            lambda: summary["peak_memory_mib"] / 1024 * summary["wall_seconds"],
            "GiB s",
        ),
    ):
        section.metric(
            name,
            title,
            lambda total=total: total() / good,
            unit=unit,
            null_reason=NO_NULL,
            reason=unfinished or none,
            better="lower",
            source="of summary.json, divided by the successful samples",
            about=about + "Wall time without loading, on " + str(summary.get("device", "")),
        )
    section.metric(
        "memory",
        "highest memory of the run",
        lambda: summary["peak_memory_mib"],
        unit="MiB",
        null_reason=NO_NULL,
        reason=unfinished,
        better="lower",
        source="of summary.json: of the device if it is a GPU, else of the process",
        about=f"With {summary.get('memory', 'an unknown plan')}; it does not grow with the number of samples.",
    )
    return section
