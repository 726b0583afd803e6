"""Is the objective really held? Everything is measured again on the saved pictures, in float32."""

import torch

from equidiff_cli.metrics import error
from equidiff_cli.pictures import perturb
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import MEAN, MEDIAN, SHARE, median, metric, query
from equidiff_cli.study.sets import each

WORDS = words_beside(__file__)


def invariance(case):
    """The section `invariance` of a case."""
    section = Section("invariance", case, WORDS)
    for one in (error_median, error_median_absolute, error_max):
        section.add(one)
    if case.samples.values.shape[1] > 1:
        section.add(squared_distance)
    for tolerance in case.options.tolerances:
        section.add(success, case.no_value, tolerance=tolerance)
    section.add(query_outlyingness, case.no_query)
    section.add(error_before)
    for quality in case.options.jpeg:
        section.add(jpeg, quality=quality)
        section.add(jpeg_query, quality=quality)
        section.column("jpeg", errors_after(case.samples, perturb.jpeg, quality).tolist(), quality=quality)
    section.add(half_pixel)
    section.add(half_pixel_query)
    section.column("half_pixel", errors_after(case.samples, perturb.half_pixel_shift).tolist())
    section.column("error", absolute(case.samples).tolist())
    section.column("error_spreads", case.samples.errors.tolist())
    section.column("error_before", errors_before(case.samples).tolist())
    section.column("objective", sizes(case.samples.values).tolist())
    return section


@each
def errors_after(set, change, *options):
    """|L(changed x) - L*| (N,) in null spreads."""
    return set.case.errors(change(set.pictures, *options))


def moved_by(set, change, *options):
    """|L(changed x*) - L(x*)| of the query, in null spreads, whatever was asked for."""
    case = set.case
    return case.off(case.measure(change(set.pictures, *options)), set.values[0])[0]


def errors_before(set):
    """|L(x) - L*| (N,) in null spreads, before pictures were rounded to 8 bits."""
    return set.case.off(set.recorded)


def absolute(set):
    """|L(x) - L*| (N,), at least 0, in units of the objective."""
    return error.errors(set.values, set.case.target_values)


def sizes(values):
    """One number a sample (N,): its value, or the Euclidean norm of several."""
    return values[:, 0] if values.shape[1] == 1 else error.errors(values, torch.zeros_like(values[0]))


@metric(over=MEDIAN)
def error_median(set):
    return set.errors


@metric(over=MEDIAN)
def error_median_absolute(set):
    return absolute(set)


@metric
def error_max(set):
    return set.errors.max()


@metric(over=MEAN)
def squared_distance(set):
    return error.errors(set.values, set.case.target_values).square()


@metric(over=SHARE)
def success(set, tolerance):
    return torch.cat([set.errors <= tolerance, torch.zeros(set.failures, dtype=torch.bool)])


@metric(over=SHARE, on=lambda case: case.unguided, null=None)
def query_outlyingness(set):
    return error.nearer(set.values, set.case.query.values[0])


@metric(null=None)
def error_before(set):
    return median(errors_before(set))


@metric(over=MEDIAN)
def jpeg(set, quality):
    return errors_after(set, perturb.jpeg, quality)


@metric(on=query, null=None)
def jpeg_query(set, quality):
    return moved_by(set, perturb.jpeg, quality)


@metric(over=MEDIAN)
def half_pixel(set):
    return errors_after(set, perturb.half_pixel_shift)


@metric(on=query, null=None)
def half_pixel_query(set):
    return moved_by(set, perturb.half_pixel_shift)
