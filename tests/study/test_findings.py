"""What a section says when there are too few samples, no null, or nothing to say."""

import pytest

from equidiff_cli.study.findings import Section

WORDS = dict(unit="m", about="a length", source="a ruler")


def metric(samples=4, value=lambda: 1.5, **more):
    section = Section("space", samples)
    section.metric("length", "its length", value, **WORDS, **more)
    (found,) = section.metrics
    return found


def test_a_metric_says_what_it_is():
    found = metric(null=lambda: 2.0, better="lower", interval=lambda: (1.0, 2.0, "a guess"))
    assert found == {
        "section": "space",
        "name": "length",
        "title": "its length",
        "value": 1.5,
        "reason": None,
        "null": 2.0,
        "null_reason": None,
        "low": 1.0,
        "high": 2.0,
        "interval": "a guess",
        "samples": 4,
        "needs": 1,
        "better": "lower",
        **WORDS,
    }


def test_below_the_number_it_needs_nothing_is_computed():
    found = metric(samples=1, needs=8, value=pytest.fail, null=pytest.fail, interval=pytest.fail)
    assert found["value"] is None and found["reason"] == "needs 8 samples, there is 1" and "low" not in found
    assert found["null"] is None and found["null_reason"] == found["reason"]


def test_a_reason_comes_before_everything():
    found = metric(reason="no such thing", value=pytest.fail, null=pytest.fail)
    assert found["value"] is None and found["reason"] == "no such thing"


def test_every_missing_number_has_a_reason():
    for nothing in (None, float("nan"), float("inf")):
        found = metric(value=lambda nothing=nothing: nothing)
        assert found["value"] is None and found["reason"]
        found = metric(null=lambda nothing=nothing: nothing)
        assert found["null"] is None and found["null_reason"]
    assert metric(null_reason="cannot be")["null_reason"] == "cannot be"
    assert metric(null=lambda: None)["null_reason"] and metric()["null_reason"]


def test_too_few_samples_for_an_interval():
    found = metric(interval=lambda: None)
    assert found["value"] == 1.5 and "low" not in found


def test_columns_have_an_entry_a_sample():
    section = Section("space", 2)
    section.column("length", "length", (1.0, 2.0), unit="m", about="a length")
    assert section.values == {"length": [1.0, 2.0]}
    assert section.columns == {"length": {"title": "length", "unit": "m", "about": "a length"}}
