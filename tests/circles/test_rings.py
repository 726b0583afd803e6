"""The data: density and log-odds against counts of drawn points, and points that are always the same."""

import numpy as np
import pytest

from equidiff_cli.circles import rings
from equidiff_cli.circles.plane import EXTENT


@pytest.fixture(scope="module")
def drawn():
    return rings.draw(400_000, np.random.default_rng(5))


def test_density_is_that_of_the_drawn_points(drawn):
    points, _ = drawn
    counts = np.histogram2d(*points.T, bins=20, range=[[-1.6, 1.6]] * 2)[0]
    fine = 8  # the mean of the density over each cell, at fine^2 places
    inner = (np.arange(20 * fine) + 0.5) / (20 * fine) * 3.2 - 1.6
    places = np.stack(np.meshgrid(inner, inner, indexing="ij"), axis=-1).reshape(-1, 2)
    mean = rings.density(places).reshape(20, fine, 20, fine).mean(axis=(1, 3))
    expected = mean * 0.16**2 * len(points)
    error = (counts - expected) / np.sqrt(expected + 1)
    assert np.abs(error).max() < 4.5 and 0.8 < error[expected > 20].std() < 1.2
    assert expected.sum() == pytest.approx(counts.sum(), rel=2e-3)


def test_log_odds_are_those_of_the_classes_among_drawn_points(drawn):
    points, labels = drawn
    radius = np.linalg.norm(points, axis=1)
    for r in (0.9, 0.95, 1.0, 1.05, 1.1):
        here = labels[np.abs(radius - r) < 0.01]
        counted = np.log((here == 0).sum() / (here == 1).sum())
        assert rings.log_odds(np.array([[0.0, r]]))[0] == pytest.approx(counted, abs=0.25)
    unit_circle = np.array([[1.0, 0.0], [-0.6, 0.8]])
    assert np.allclose(rings.log_odds(unit_circle), 0)


def test_training_points_are_always_the_same_two_rings():
    (points, labels), (again, _) = rings.training_points(), rings.training_points()
    assert points.shape == (1500, 2) and (points == again).all()
    assert np.abs(points).max() < EXTENT
    radius = np.linalg.norm(points, axis=1)
    for label, wanted in enumerate(rings.RADII):
        ring = radius[labels == label]
        assert 650 < len(ring) < 850
        assert ring.mean() == pytest.approx(wanted, abs=0.02) and ring.std() == pytest.approx(rings.WIDTH, rel=0.1)
