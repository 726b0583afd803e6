"""Weighted samples against closed forms: Gaussian prior times Gaussian kernel, and equal weights."""

import numpy as np
import pytest
import torch
from scipy import stats

from equidiff_cli.metrics import weighted


def test_weights_fall_with_the_distance_and_end():
    found = weighted.gaussian_weights(torch.tensor([0.0, 0.5, 1.5, 1.51, float("inf")]), 0.5)
    assert found[:3].tolist() == pytest.approx([1.0, np.exp(-0.5), np.exp(-4.5)])
    assert found[3:].tolist() == [0.0, 0.0]


def test_the_effective_size_is_kishs():
    assert weighted.effective(torch.ones(7)) == pytest.approx(7)
    assert weighted.effective(torch.tensor([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert weighted.effective(torch.tensor([3.0, 1.0])) == pytest.approx(16 / 10)
    assert weighted.effective(torch.zeros(3)) == 0


def test_equal_weights_give_the_mean_and_its_usual_interval():
    values = torch.tensor([1.0, 4.0, 2.0, 7.0])
    low, high = weighted.interval(values, torch.full((4,), 0.3))
    half = 1.96 * values.numpy().std(ddof=1) / 2
    assert weighted.mean(values, torch.full((4,), 0.3)).item() == pytest.approx(3.5)
    assert (low, high) == (pytest.approx(3.5 - half, rel=1e-3), pytest.approx(3.5 + half, rel=1e-3))
    assert weighted.interval(values, torch.tensor([1.0, 0.0, 0.0, 0.0])) is None


def test_a_gaussian_prior_by_a_gaussian_kernel():
    """N(0, 1) times a kernel of width h around t is N(t / (1 + h^2), h^2 / (1 + h^2)); up to the cut of the kernel."""
    x = torch.randn(40_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t, h = 1.0, 0.3
    weights = weighted.gaussian_weights((x - t).abs(), h)
    expected = stats.norm(t / (1 + h * h), h / np.sqrt(1 + h * h))
    low, high = weighted.interval(x, weights)
    assert (low + high) / 2 == pytest.approx(expected.mean(), abs=0.01)
    half = h * h / 2  # the square of the kernel has half its variance
    square = half / (1 + half) + (t / (1 + half) - expected.mean()) ** 2
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(square / weighted.effective(weights)), rel=0.05)
    kept = x[weighted.thinned(weights, 7)]  # another stream than that of x
    assert len(kept) == pytest.approx(weights.sum().item(), rel=0.05)
    assert stats.kstest(kept.numpy(), expected.cdf).pvalue > 0.01
    assert not torch.equal(weighted.thinned(weights, 0), weighted.thinned(weights, 1))


def test_exact_samples_are_all_kept():
    assert weighted.thinned(torch.ones(5), 3).all()
