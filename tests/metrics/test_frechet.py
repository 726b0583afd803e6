"""Set distances against torchmetrics, closed forms and sets on a line."""

import pytest
import torch
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from equidiff_cli.metrics.frechet import covered, frechet_distance, kernel_distance, precision_recall


def features(n, d=6, seed=0, shift=0.0, scale=1.0):
    drawn = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mix = torch.randn(d, d, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    return scale * drawn @ mix + shift


def test_frechet_distance_against_torchmetrics():
    a, b = features(200), features(150, seed=1, shift=0.5, scale=1.5)
    expected = _compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov()).item()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_frechet_distance_of_shifted_and_scaled_sets():
    a = features(100)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 2) == pytest.approx(6 * 4)
    variance = torch.cov(a.T).trace().item()
    assert frechet_distance(a, 3 * (a - a.mean(0)) + a.mean(0)) == pytest.approx(4 * variance)  # (3 - 1)^2 tr


def test_frechet_distance_with_fewer_samples_than_features():
    a, b = features(4, d=10), features(5, d=10, seed=1)
    assert 0 < frechet_distance(a, b) < float("inf") and frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_many_features_needs_no_matrix_of_them():
    """The same number as by covariances, which torchmetrics takes; a million squared would fit in no memory."""
    a, b = features(12, d=40, shift=0.2), features(9, d=40, seed=1, scale=1.5)
    expected = _compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov()).item()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)
    wide = torch.zeros(12, 1_000_000, dtype=torch.float64)
    wide[:, :40] = a
    assert frechet_distance(wide, wide + torch.eye(1, 1_000_000)) == pytest.approx(1, rel=1e-6)


def test_kernel_distance_against_torchmetrics():
    a, b = features(40), features(40, seed=1, shift=0.3)
    gamma = 1 / a.shape[1]
    assert kernel_distance(a, b) == pytest.approx(poly_mmd(a, b, degree=3, gamma=gamma, coef=1.0).item(), rel=1e-9)


def test_kernel_distance_is_unbiased():
    """Over many pairs of small sets from one distribution, the mean is zero within its error."""
    found = torch.tensor([kernel_distance(features(8, seed=2 * i), features(8, seed=2 * i + 1)) for i in range(400)])
    assert abs(found.mean()) < 4 * found.std() / 20 and (found < 0).any()


def test_precision_and_recall_of_points_on_a_line():
    """Neighbours at distance 1: with k = 3 the reach is 3 at an end, 2 beside it, 2 inside."""
    real = torch.arange(10.0)[:, None]
    samples = torch.tensor([[-3.0], [-3.1], [4.5], [12.0], [12.5], [40.0], [41.0], [42.0]])
    precision, _ = precision_recall(real, samples)
    assert covered(real, samples).tolist() == [True, False, True, True, False, False, False, False]
    assert precision == pytest.approx(3 / 8)  # -3 and 12 lie within reach of the ends, 4.5 inside; no other does
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 1000) == (0, 0)


def test_a_collapsed_set_is_precise_but_recalls_little():
    real, one_place = features(300, d=2), 0.01 * features(300, d=2, seed=1)
    precision, recall = precision_recall(real, one_place)
    assert precision == 1 and recall < 0.05


def test_precision_and_recall_change_places_with_the_sets():
    a, b = features(60), features(50, seed=1, scale=0.7)
    assert precision_recall(a, b) == precision_recall(b, a)[::-1]
