"""Where the evidence sits: the objective of low-passed pictures, and power spectra."""

import torch

from equidiff_cli.evaluation.invariance import median
from equidiff_cli.metrics.spectrum import decibels, high_frequency_energy, radial, spectral_distance
from equidiff_cli.study.findings import Section

NYQUIST = "of Nyquist"
HIGH = 0.5  # above this fraction of Nyquist frequencies count as high
HELD = 0.25  # null spreads; a deviation below counts as held
TAILS = (0.25, 0.75)


def frequency(case):
    """The section `frequency` of a case."""
    section = Section("frequency", len(case.pictures))
    deviation(section, case)
    spectra(section, case)
    return section


def deviation(section, case):
    """|L(F_c(x)) - L*| over cutoffs c."""
    cutoffs = sorted(case.options.cutoffs)
    filters = [case.filter_at(cutoff) for cutoff in cutoffs]
    shown = {"samples": case.pictures, "unguided": case.null.pictures, "query": case.query}
    curves = {name: torch.stack([case.errors(f(x)) for f in filters]).double() for name, x in shown.items()}  # (B, N)
    lines = []
    for name, rows in curves.items():
        line = {"name": name, "values": median(rows).tolist()}
        if rows.shape[1] >= 4:
            line |= {"low": rows.quantile(TAILS[0], 1).tolist(), "high": rows.quantile(TAILS[1], 1).tolist()}
        lines.append(line)
    kind = type(filters[0]).__name__.lower()
    section.curve(
        "deviation",
        "error of low-passed pictures against the cutoff",
        about=f"Median of |L(F_c(x)) - L*| for a {kind} low-pass filter F_c, band: the middle half of the samples. "
        "Low at a small cutoff: coarse structure alone carries the evidence.",
        x={"title": "cutoff", "unit": NYQUIST, "values": cutoffs, "scale": "linear"},
        y={"title": "error", "unit": "null spreads", "scale": "log"},
        lines=lines,
    )
    middle = {name: median(rows) for name, rows in curves.items()}
    for name, of in (("samples", ""), ("query", "_query")):
        section.metric(
            f"evidence_cutoff{of}",
            "cutoff above which the evidence is complete" + (", of the query itself" if of else ""),
            lambda name=name: held_from(middle[name], cutoffs),
            unit=NYQUIST,
            null=(lambda: held_from(middle["unguided"], cutoffs)) if not of else None,
            null_reason="is about the query alone" if of else "the median unguided sample never comes near",
            samples=1 if of else None,
            better="lower",
            reason=None if held_from(middle[name], cutoffs) else f"the median error is never below {HELD} null spreads",
            source=f"smallest cutoff of the grid from which on the median deviation stays below {HELD} null spreads",
            about="Low: the evidence is coarse and visible. Near 1: it needs the finest detail.",
        )
    section.metric(
        "deviation_mean",
        "mean deviation over all cutoffs",
        lambda: middle["samples"].mean().item(),
        unit="null spreads",
        null=lambda: middle["unguided"].mean().item(),
        better="lower",
        source="mean over the grid of the deviation curve",
        about="One number for the curve; compare runs on the same grid only.",
    )


def held_from(curve, cutoffs):
    """The smallest cutoff from which on the curve (B,) stays below `HELD`, or None."""
    above = (curve >= HELD).nonzero().flatten().tolist()
    first = above[-1] + 1 if above else 0
    return cutoffs[first] if first < len(cutoffs) else None


def spectra(section, case):
    """Power spectra, their distances, and energy at high frequencies."""
    half = min(len(case.pictures), len(case.null.pictures) // 2)
    shown = {"query": case.query, "samples": case.pictures, "unguided": case.null.pictures}
    if case.real is not None:
        shown["real"] = case.real
    shown = {name: x.cpu() for name, x in shown.items()}
    frequencies, _ = radial(shown["query"])
    power = {name: radial(x)[1] for name, x in shown.items()}
    lines = []
    for name, rows in power.items():
        line = {"name": name, "values": decibels(rows.mean(0)).tolist()}
        if len(rows) >= 4:
            low, high = (decibels(rows.quantile(q, 0)).tolist() for q in TAILS)
            line |= {"low": low, "high": high}
        lines.append(line)
    section.curve(
        "spectrum",
        "radially averaged power spectra",
        about="Mean power of the brightness in rings of equal frequency, band: the middle half of the pictures. "
        "Natural pictures fall steadily; a raised right end is noise that hardly shows.",
        x={"title": "frequency", "unit": NYQUIST, "values": frequencies.tolist(), "scale": "log"},
        y={"title": "power", "unit": "dB", "scale": "linear"},
        lines=lines,
    )
    source = "log-spectral distance (Gray & Markel 1976) of radially averaged power spectra"
    chance, reference = power["unguided"][:half], power["unguided"][half:]
    no_real = None if case.real is not None else "no folder of real pictures was given (real=FOLDER)"
    for name, title, other, theirs, reason, more in (
        ("query", "the query", power["query"], power["unguided"], None, "One picture is no mean, so it is never 0."),
        ("unguided", "unguided samples", reference, chance, None, "Unguided: as many of them."),
        ("real", "real pictures", power.get("real"), power["unguided"], no_real, "Unguided: all of them."),
    ):
        section.metric(
            f"spectral_distance_{name}",
            f"distance of the mean spectrum to {title}",
            lambda other=other: spectral_distance(power["samples"], other),
            unit="dB",
            null=lambda other=other, theirs=theirs: spectral_distance(theirs, other),
            reason=reason,
            needs=4,
            better=None if name == "query" else "lower",
            source=source,
            about=f"Root mean square over frequencies; 3 dB is a factor of two in power. {more}",
        )
    energy = {name: high_frequency_energy(x, HIGH) for name, x in shown.items()}
    for name, title, reason in (
        ("query", "the query", None),
        ("unguided", "unguided samples", None),
        ("real", "real pictures", no_real),
    ):
        section.metric(
            f"high_frequency_{name}",
            f"energy above {HIGH:g} of Nyquist, against {title}",
            lambda name=name: decibels(energy["samples"].mean() / energy[name].mean()).item(),
            unit="dB",
            null=lambda name=name: decibels(energy["unguided"].mean() / energy[name].mean()).item(),
            null_reason=None,
            reason=reason,
            source="ratio of mean energies of the brightness, corners included",
            about="0: as much fine structure. Far above: hidden high frequencies; far below: blurred.",
        )
    section.column(
        "high_frequency",
        "high frequencies",
        decibels(energy["samples"] / energy["unguided"].mean()).tolist(),
        unit="dB against unguided",
        about=f"energy above {HIGH:g} of Nyquist",
    )
