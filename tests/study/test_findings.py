"""A section of toy metrics, each a function of a set: value, what chance gives, interval, and why one is missing."""

from types import SimpleNamespace

import pytest
import torch

from equidiff_cli.metrics.interval import wilson
from equidiff_cli.study.findings import Section, line
from equidiff_cli.study.metric import DIFFERENCE, MEAN, MEDIAN, SHARE, apart, as_many, groups, groups_or_all, metric
from equidiff_cli.study.sets import Set

ABOUT = {"unit": "m", "about": "a length", "source": "a ruler"}
WORDS = {
    "metrics": {
        "length": {"title": "its length", "better": "lower", **ABOUT},
        "longer": {"name": "longer_{than:g}", "title": "longer than {than:g} {what}", **ABOUT},
        "strange": {"title": "a strange one", "undefined": "there is none", "null_reason": "cannot be", **ABOUT},
    },
    "absent": {"other": {"name": "of_{who}", "title": "of {who}", **ABOUT}},
    "columns": {"length": {"name": "length_{what}", "title": "length", "unit": "m", "about": "a length"}},
    "curves": {
        "growth": {
            "title": "growth",
            "about": "how it grows",
            "x": {"title": "time", "unit": "s", "scale": "linear"},
            "y": {"title": "length", "unit": "m", "scale": "log"},
        }
    },
}


def case(count=4, most=10):
    """Pictures of one number each: 1 to `count`, unguided 10, 20, 30, ..."""
    toy = SimpleNamespace(options=SimpleNamespace(seed=0), half=min(count, most // 2))
    toy.samples = Set(toy, torch.arange(1.0, count + 1))
    toy.unguided = Set(toy, 10 * torch.arange(1.0, most + 1))
    return toy


def found(one, count=4, **more):
    section = Section("space", case(count), WORDS, {"what": "metres"})
    section.add(one, **more)
    (found,) = section.metrics
    return found


def test_other_sets_stand_beside_where_pictures_are_all_that_counts():
    toy = case()
    toy.beside = {"real": Set(toy, torch.tensor([5.0, 6.0, 7.0, 8.0, 9.0])), "augmented": Set(toy, torch.tensor([2.0]))}
    section = Section("space", toy, WORDS)
    section.add(named("length", lambda set: set.pictures.max(), needs=2))
    section.add(named("strange", lambda set: set.pictures.max(), of_pictures=False))
    first, second = section.metrics
    assert (first["real"], first["augmented"]) == (8.0, None), "as many as there are samples, and at least two"
    assert "real" not in second and "real" not in found(named("length", lambda set: set.pictures.max()))


def named(name, function, **options):
    """A metric of the words of `name`."""
    function.__name__ = name
    return metric(function, **options)


def test_a_metric_says_what_it_is():
    assert found(named("length", lambda set: set.pictures.max())) == {
        "section": "space",
        "name": "length",
        "title": "its length",
        "value": 4.0,
        "reason": None,
        "null": 100.0,
        "null_reason": None,
        "samples": 4,
        "needs": 1,
        "better": "lower",
        **ABOUT,
    }


def test_parameters_reach_the_function_and_the_words():
    @metric
    def longer(set, than):
        return (set.pictures - than).max()

    one = found(longer, than=0.5)
    assert (one["name"], one["title"], one["value"]) == ("longer_0.5", "longer than 0.5 metres", 3.5)


def test_one_number_a_picture_gets_a_statistic_and_its_interval():
    one = found(named("length", lambda set: set.pictures, over=MEDIAN))
    assert (one["value"], one["null"]) == (2.5, 55.0) and 1 <= one["low"] <= 2.5 <= one["high"] <= 4
    assert found(named("length", lambda set: set.pictures, over=MEAN))["interval"] == "95 % bootstrap over samples"
    one = found(named("length", lambda set: set.pictures > 3, over=SHARE))
    assert (one["value"], one["null"], one["low"], one["high"]) == (0.25, 1.0, *wilson(1, 4))
    too_few = found(named("length", lambda set: set.pictures, over=MEDIAN), count=3)
    assert too_few["value"] == 2 and "low" not in too_few


@pytest.mark.parametrize(
    ("null", "count", "expected"),
    [
        (as_many, 4, 25),  # 10 to 40
        (apart, 4, 25),
        (apart, 8, 30),  # at most half: 10 to 50
        (groups, 4, 45),  # 10 to 40 and 50 to 80
        (groups, 11, None),
        (groups_or_all, 11, 55),
        (None, 4, None),
    ],
)
def test_chance_is_measured_on_as_many(null, count, expected):
    for function in (lambda set: set.pictures.mean(), lambda set: set.pictures.mean().item()):
        assert found(named("length", function, null=null), count)["null"] == expected


def test_no_more_than_eight_groups():
    parts = groups(case(1, most=20).unguided, 1)
    assert [part.pictures.item() for part in parts] == [10 * i for i in range(1, 9)]


def test_below_the_number_it_needs_nothing_is_computed():
    one = found(named("length", pytest.fail, needs=8), count=1)
    assert one["value"] is None and one["reason"] == "needs 8 samples, there is 1" and "low" not in one
    assert one["null"] is None and one["null_reason"] == one["reason"] and one["needs"] == 8


def test_a_reason_comes_before_everything():
    one = found(named("strange", pytest.fail, on=lambda case: case.unguided), reason="no such thing")
    assert (one["value"], one["reason"], one["samples"], one["null_reason"]) == (None, "no such thing", 4, "cannot be")


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf"), torch.tensor(float("nan"))])
def test_every_missing_number_has_a_reason(nothing):
    one = found(named("length", lambda set: nothing))
    assert one["value"] is None and one["reason"] == "is not defined for these samples" == one["null_reason"]
    assert found(named("strange", lambda set: nothing))["reason"] == "there is none"
    for_samples = named("length", lambda set: 1.0 if len(set) == 4 else nothing)
    one = found(for_samples)
    assert (one["value"], one["null"], one["null_reason"]) == (1.0, None, "is not defined for unguided samples")
    assert found(named("strange", for_samples.function))["null_reason"] == "cannot be"


def test_what_chance_gives_is_known_where_the_samples_have_no_number():
    one = found(named("strange", lambda set: None if len(set) == 4 else 3.0))
    assert (one["value"], one["reason"], one["null"], one["null_reason"]) == (None, "there is none", 3.0, None)


def test_a_difference_of_two_shares_has_its_interval():
    one = found(named("length", lambda set: torch.stack([set.pictures < 4, set.pictures < 2]), over=DIFFERENCE))
    assert (one["value"], one["null"], one["interval"]) == (0.5, 0.0, "95 % Newcombe") and one["low"] < 0 < one["high"]


def test_neither_way_is_better_where_the_words_say_so():
    section = Section("space", case(), {"metrics": {"length": {"title": "it", "better": "{way}", **ABOUT}}})
    for way in ("", "higher"):
        section.add(named("length", lambda set: set.pictures.max()), say={"way": way})
    assert [one["better"] for one in section.metrics] == [None, "higher"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "failed: MemoryError"),
        (RuntimeError("you tried\nto allocate 9 bytes"), "failed: RuntimeError: you tried to allocate 9 bytes"),
        (ValueError("has no classifier"), "has no classifier"),
    ],
)
@pytest.mark.parametrize("where", ["samples", "unguided"])
def test_a_number_that_fails_is_not_reported_and_the_others_are(error, reason, where, caplog):
    def fail(set):
        if where == "samples" or len(set) == 10:
            raise error
        return 1.0

    section = Section("space", case(), WORDS)
    section.add(named("length", fail))
    section.column("length", lambda: [1.0] if where == "unguided" else fail(section.case.samples), what="here")
    section.add(named("strange", lambda set: 2.0))
    first, second = section.metrics
    assert (first["value"], first["null"], first["reason"], first["null_reason"]) == (None, None, reason, reason)
    assert "low" not in first and second["value"] == 2.0
    assert section.values == ({"length_here": [1.0, None, None, None]} if where == "unguided" else {})
    assert f"equidiff: length: not reported: {reason}" in caplog.messages


def test_an_error_of_the_program_is_not_hidden():
    with pytest.raises(TypeError):
        found(named("length", lambda set: None + 1))


def test_a_metric_may_be_of_another_set():
    one = found(named("length", lambda set: len(set), on=lambda case: case.unguided[:3], null=None))
    assert one["value"] == one["samples"] == 3


def test_what_is_not_there_is_said():
    section = Section("space", case(), WORDS)
    section.absent("other", "nobody came", who="them")
    (one,) = section.metrics
    assert (one["name"], one["value"], one["reason"], one["samples"]) == ("of_them", None, "nobody came", 4)


def test_columns_have_an_entry_a_sample():
    section = Section("space", case(3), WORDS)
    section.column("length", (1.0, 2.0), what="here")
    assert section.values == {"length_here": [1.0, 2.0, None]}
    assert section.columns == {"length_here": {"title": "length", "unit": "m", "about": "a length"}}


def test_a_curve_has_a_band_from_four_pictures_on():
    section, up = Section("space", case(), WORDS), torch.tensor([1.0, 2.0])
    section.curve("growth", [0, 1], [line("all", up, up - 1, up + 1, 4), line("few", up, up - 1, up + 1, 3)])
    (curve,) = section.curves
    assert list(curve) == ["section", "name", "title", "about", "x", "y", "lines"]
    assert curve["x"] == {"title": "time", "unit": "s", "values": [0, 1], "scale": "linear"}
    assert curve["lines"][0] == {"name": "all", "values": [1, 2], "low": [0, 1], "high": [2, 3]}
    assert curve["lines"][1] == {"name": "few", "values": [1, 2]}
