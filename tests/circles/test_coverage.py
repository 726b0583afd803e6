"""Coverage: Kuiper's statistic against its definition and its law, and the mass along a curve against drawn points."""

import math

import numpy as np
import pytest
import torch

from equidiff_cli.circles.coverage import Mass, arcs_hit, compare, kuiper, near
from equidiff_cli.circles.levelcurve import trace


def steep_on_one_axis(points):
    """A field whose gradient differs by a factor of four along its level curves."""
    return points[:, 0].square() + 4 * points[:, 1].square()


@pytest.mark.parametrize("n", [1, 2, 10, 64])
def test_kuiper_against_the_empirical_distribution(n):
    u = np.random.default_rng(n).uniform(size=n)
    fine = np.concatenate([np.linspace(0, 1, 20_001), u, np.nextafter(u, 0)])
    difference = (u <= fine[:, None]).mean(axis=1) - fine
    assert kuiper(u) == pytest.approx((difference.max() - difference.min()) * n**0.5, abs=1e-3)


def test_kuiper_does_not_depend_on_where_the_count_begins():
    u = np.random.default_rng(3).uniform(size=50) ** 2
    assert [kuiper((u + shift) % 1) for shift in (0.1, 0.5, 0.9)] == pytest.approx([kuiper(u)] * 3)


def test_kuiper_of_uniform_samples_has_the_published_quantile():
    """Upper 5 % of V (sqrt(n) + 0.155 + 0.24 / sqrt(n)): 1.747 (Stephens 1970)."""
    n, generator = 100, np.random.default_rng(4)
    values = [kuiper(generator.uniform(size=n)) / n**0.5 for _ in range(4000)]
    assert np.quantile(values, 0.95) * (n**0.5 + 0.155 + 0.24 / n**0.5) == pytest.approx(1.747, abs=0.03)


def test_points_in_one_place_are_as_uneven_as_can_be():
    assert kuiper(np.full(49, 0.3)) == pytest.approx(7.0)
    assert arcs_hit(np.full(49, 0.3), 24) == pytest.approx(1 / 24)


def test_arcs_hit():
    assert arcs_hit(np.array([0.0, 0.1, 0.26, 1.0]), 4) == 0.75
    assert arcs_hit(np.linspace(0, 1, 100), 10) == 1.0


def test_mass_on_a_circle_grows_with_the_angle():
    field = lambda points: points.square().sum(1)  # noqa: E731
    lines = trace(field, 0.8, 2.0, cells=200)
    begin = math.atan2(*lines[0][0][::-1])
    angle = begin + np.array([0.1, 1.0, 3.0, 6.0])
    found = Mass(field, lines)(np.stack([np.cos(angle), np.sin(angle)], axis=1))
    along = (angle - begin) / (2 * math.pi)
    assert np.allclose(found, along, atol=1e-3) or np.allclose(found, 1 - along, atol=1e-3)


def test_mass_is_that_of_data_points_near_the_curve():
    lines = trace(steep_on_one_axis, 1.5, 2.0, cells=400)
    points = near(steep_on_one_axis, 1.5, 4000, np.random.default_rng(6))
    values = steep_on_one_axis(torch.from_numpy(points))
    assert points.shape == (4000, 2) and (values - 1.5).abs().max() < 0.2501
    assert kuiper(Mass(steep_on_one_axis, lines)(points)) < 2.0, "the upper 1 % of the uniform law"
    by_length = Mass(steep_on_one_axis, lines)
    steps = np.linalg.norm(np.diff(lines[0], axis=0), axis=1)
    by_length.bounds = np.concatenate([[0], steps.cumsum() / steps.sum()])
    assert kuiper(by_length(points)) > 5, "without density and gradient it would show"


def test_a_curve_off_the_data_is_refused():
    with pytest.raises(ValueError, match="comes near its level curve"):
        near(lambda points: points[:, 0], 30.0, 10, np.random.default_rng(0), batch=1000)


def test_compare_with_resamples():
    generator = np.random.default_rng(7)
    oracle, even, half = generator.uniform(size=64 * 100), generator.uniform(size=64), generator.uniform(size=64) / 2
    good, bad = compare(even, oracle), compare(half, oracle)
    assert good["kuiper"][1] < good["kuiper"][2] < good["kuiper"][3] and good["kuiper"][1:] == bad["kuiper"][1:]
    assert good["p"] > 0.05 and bad["p"] == 0 and bad["kuiper"][0] > 3.5
    assert good["arcs"][0] > good["arcs"][1] - 0.1 and bad["arcs"][0] <= 0.5
