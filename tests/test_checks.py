"""One line for a wrong value: every bound, every kind, and the nearest names."""

import math

import pytest

from equidiff_cli.checks import choices, number, one_of

MANY = [f"layer{i}.conv{j}" for i in range(4) for j in range(4)]


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (0, dict(minimum=0)),
        (9, dict(maximum=9)),
        (1e-9, dict(above=0)),
        (-3.5, {}),
        (2, dict(whole=True, minimum=2, maximum=2)),
        (10**400, dict(whole=True)),
    ],
)
def test_numbers_within_bounds_come_back(value, options):
    assert number("key", value, **options) is value


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (-1, dict(minimum=0), "key=-1: must be a number at least 0"),
        (0, dict(above=0), "key=0: must be a number above 0"),
        (9.5, dict(maximum=9), "key=9.5: must be a number at most 9"),
        (11, dict(minimum=0, maximum=10, whole=True), "key=11: must be a whole number at least 0 and at most 10"),
        (1.0, dict(whole=True), "key=1.0: must be a whole number"),
        ("1", {}, "key=1: must be a number"),
        (None, {}, "key=None: must be a number"),
        (True, dict(whole=True), "key=True: must be a whole number"),
        (math.nan, {}, "key=nan: must be a number"),
        (math.inf, dict(above=0), "key=inf: must be a number above 0"),
        (-math.inf, dict(maximum=0), "key=-inf: must be a number at most 0"),
        (10**400, dict(minimum=0), f"key={10**400}: must be a number at least 0"),  # more than a float holds
    ],
)
def test_other_values_are_refused_with_the_bounds(value, options, message):
    with pytest.raises(ValueError) as error:
        number("key", value, **options)
    assert str(error.value) == message


def test_one_of_returns_the_value_or_lists_the_options():
    assert one_of("solver", "heun", {"euler": 1, "heun": 2}) == "heun"
    assert one_of("layer", 0, ["0", "1"]) == "0"
    with pytest.raises(ValueError) as error:
        one_of("solver", "rk4", {"euler": 1, "heun": 2})
    assert str(error.value) == "solver=rk4: use one of euler, heun"


def test_of_many_options_the_nearest_are_listed():
    assert choices("layer2.conf3", MANY).startswith("the nearest of 16 names are layer2.conv3, ")
    assert "layer0.conv0" not in choices("layer2.conf3", MANY)
    assert choices("LAYER2.CONV3", MANY).startswith("the nearest of 16 names are layer2.conv3, ")
    assert choices("layer2.conv3", [name.upper() for name in MANY]).startswith(
        "the nearest of 16 names are LAYER2.CONV3,"
    )
    assert choices("@@", MANY) == f"none of 16 names is near, the first are {', '.join(MANY[:6])}"
    assert choices("@@", iter(MANY), most=16) == f"use one of {', '.join(MANY)}"
