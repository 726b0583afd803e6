"""Is the objective really held? Everything is measured again on the saved pictures, in float32."""

import torch

from equidiff_cli.metrics.error import errors, outlyingness, success
from equidiff_cli.metrics.interval import bootstrap, wilson
from equidiff_cli.metrics.perturb import half_pixel_shift, jpeg
from equidiff_cli.study.findings import Section

UNIT = "null spreads"
BOOTSTRAP = "95 % bootstrap over samples"
WILSON = "95 % Wilson"


def median(rows):
    """Medians (R,) of rows (R, N)."""
    return rows.double().quantile(0.5, dim=-1)


def invariance(case):
    """The section `invariance` of a case."""
    section, options = Section("invariance", len(case.pictures)), case.options
    found = errors(case.values, case.target_values) / case.spread
    chance = errors(case.null_values, case.target_values) / case.spread

    def add(name, title, mine, theirs, about, unit=UNIT, **more):
        section.metric(
            name,
            title,
            lambda: median(mine).item(),
            unit=unit,
            null=lambda: median(theirs).item(),
            better="lower",
            source="|L(x) - L*|, Euclidean over the values of the objective",
            about=about,
            interval=lambda: (*bootstrap(mine, median, options.seed), BOOTSTRAP) if len(mine) >= 4 else None,
            **more,
        )

    add(
        "error_median", "median error of the saved pictures", found, chance, "Half of the samples are nearer than this."
    )
    add(
        "error_median_absolute",
        "the same in units of the objective",
        found * case.spread,
        chance * case.spread,
        "One null spread is the standard deviation of the objective over unguided samples.",
        unit="objective",
    )
    section.metric(
        "error_max",
        "largest error of the saved pictures",
        lambda: found.max().item(),
        unit=UNIT,
        null=lambda: chance.max().item(),
        better="lower",
        source="|L(x) - L*|",
        about="The worst sample, which a median hides.",
    )
    count = len(found) + case.run.nonfinite
    for tolerance in options.tolerances:
        hits = success(found, tolerance) * len(found)
        section.metric(
            f"success_{tolerance:g}",
            f"share within {tolerance:g} null spreads",
            lambda hits=hits: hits / count,
            unit="share",
            null=lambda tolerance=tolerance: success(chance, tolerance),
            better="higher",
            source="share of finished samples, Wilson (1927) for the interval",
            about="For unguided samples: how often chance alone comes as near.",
            interval=lambda hits=hits: (*wilson(hits, count), WILSON),
        )
    section.metric(
        "query_outlyingness",
        "how unusual the query's value is",
        lambda: outlyingness(case.null_values, case.target_values),
        unit="share",
        null_reason="compares the query itself with unguided samples",
        samples=len(case.null_values),
        source="share of unguided samples nearer to their own mean",
        about="Near 0 the value is a common one and easily met by chance; near 1 almost no unguided sample has it.",
    )
    before = case.recorded_errors
    section.metric(
        "error_before",
        "median error before rounding to 8 bits",
        lambda: median(before).item(),
        unit=UNIT,
        null_reason="unguided samples are kept in 8 bits",
        better="lower",
        source="as recorded by the run (`objective` of samples.jsonl)",
        about="What the optimiser reached; the difference to the saved picture is what the file format costs.",
    )
    kinds = [(f"jpeg_{q}", f"JPEG of quality {q}", lambda x, q=q: jpeg(x, q)) for q in options.jpeg]
    kinds.append(("half_pixel", "a shift by half a pixel", half_pixel_shift))
    for name, title, change in kinds:
        mine, theirs, query = (case.errors(change(x)) for x in (case.pictures, case.null.pictures, case.query))
        add(name, f"median error after {title}", mine, theirs, "Whether the agreement survives an everyday change.")
        section.metric(
            f"{name}_query",
            f"error of the query itself after {title}",
            lambda query=query: query.item(),
            unit=UNIT,
            null_reason="is about the query alone",
            samples=1,
            source="|L(changed x*) - L*|",
            about="What the same change does to the query: samples cannot be expected to do better than this.",
        )
        section.column(name, f"after {title}", mine.tolist(), unit=UNIT, about=f"error after {title}")
    section.column(
        "error", "error", (found * case.spread).tolist(), unit="objective", about="error of the saved picture"
    )
    section.column("error_spreads", "error", found.tolist(), unit=UNIT, about="error of the saved picture")
    section.column(
        "error_before", "error before 8 bits", before.tolist(), unit=UNIT, about="error before rounding to 8 bits"
    )
    moved = errors(case.values, torch.zeros_like(case.target_values))  # of one value: its size
    if case.values.shape[1] == 1:
        moved = case.values[:, 0]
    section.column("objective", "objective", moved.tolist(), unit="objective", about="value, or its Euclidean norm")
    return section
