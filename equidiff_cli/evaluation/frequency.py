"""Where the evidence sits: the objective of low-passed pictures, and power spectra."""

import torch

from equidiff_cli.metrics import spectrum
from equidiff_cli.metrics.spectrum import decibels
from equidiff_cli.study.findings import Section, line, words_beside
from equidiff_cli.study.metric import apart, median, metric, query
from equidiff_cli.study.sets import each

WORDS = words_beside(__file__)
HIGH = 0.5  # above this fraction of Nyquist frequencies count as high
HELD = 0.25  # null spreads; a deviation below counts as held
TAILS = (0.25, 0.75)


def frequency(case):
    """The section `frequency` of a case."""
    kind = type(case.filter_at(1)).__name__.lower()
    section = Section("frequency", case, WORDS, {"kind": kind, "high": HIGH, "held": HELD})
    shown = {} if case.no_query else {"query": case.query}
    shown |= {"samples": case.samples, "unguided": case.unguided}
    lines = [deviation_line(name, shown[name]) for name in ("samples", "unguided", "query") if name in shown]
    section.curve("deviation", cutoffs(case), lines)
    for one in (evidence_cutoff, evidence_cutoff_query, deviation_mean):
        section.add(one, case.no_value)
    shown |= {"real": case.real} if case.real else {}
    frequencies, _ = spectrum.radial(case.query.pictures.cpu())
    section.curve("spectrum", frequencies.tolist(), [spectrum_line(name, set) for name, set in shown.items()])
    no_real = None if case.real else "no folder of real pictures was given (real=FOLDER)"
    section.add(spectral_distance_query)
    section.add(spectral_distance_unguided)
    section.add(spectral_distance_real, no_real)
    section.add(high_frequency_query)
    section.add(high_frequency_unguided)
    section.add(high_frequency_real, no_real)
    section.column("high_frequency", decibels(energy(case.samples) / energy(case.unguided).mean()).tolist())
    return section


def deviation_line(name, set):
    """The line of a set in the curve `deviation`."""
    low, high = (deviation(set).quantile(tail, 0) for tail in TAILS)
    return line(name, middle(set), low, high, len(set))


def spectrum_line(name, set):
    """The line of a set in the curve `spectrum`."""
    low, high = (decibels(power(set).quantile(tail, 0)) for tail in TAILS)
    return line(name, decibels(power(set).mean(0)), low, high, len(set))


def cutoffs(case):
    return sorted(case.options.cutoffs)


@each
def deviation(set):
    """|L(F_c(x)) - L*| (N, B) in null spreads, a column a cutoff c."""
    filters = [set.case.filter_at(cutoff) for cutoff in cutoffs(set.case)]
    return torch.stack([set.case.errors(lowpass(set.pictures.clone())) for lowpass in filters], dim=1).double()


def middle(set):
    """The median (B,) of the deviation."""
    return median(deviation(set).T)


@each
def power(set):
    """Radially averaged power spectra (N, B)."""
    return spectrum.radial(set.pictures.cpu())[1]


@each
def energy(set):
    """Energies (N,) at high frequencies."""
    return spectrum.high_frequency_energy(set.pictures.cpu(), HIGH)


def held_from(curve, cutoffs):
    """The smallest cutoff from which on the curve (B,) stays below `HELD`, or None."""
    above = (curve >= HELD).nonzero().flatten().tolist()
    first = above[-1] + 1 if above else 0
    return cutoffs[first] if first < len(cutoffs) else None


@metric
def evidence_cutoff(set):
    return held_from(middle(set), cutoffs(set.case))


@metric(on=query, null=None)
def evidence_cutoff_query(set):
    return held_from(middle(set), cutoffs(set.case))


@metric
def deviation_mean(set):
    return middle(set).mean()


@metric(needs=4)
def spectral_distance_query(set):
    return spectrum.spectral_distance(power(set), power(set.case.query))


@metric(needs=4, null=apart)
def spectral_distance_unguided(set):
    return spectrum.spectral_distance(power(set), power(set.case.reference))


@metric(needs=4)
def spectral_distance_real(set):
    return spectrum.spectral_distance(power(set), power(set.case.real))


@metric
def high_frequency_query(set):
    return decibels(energy(set).mean() / energy(set.case.query).mean())


@metric
def high_frequency_unguided(set):
    return decibels(energy(set).mean() / energy(set.case.unguided).mean())


@metric
def high_frequency_real(set):
    return decibels(energy(set).mean() / energy(set.case.real).mean())
