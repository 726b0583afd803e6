"""Tails against scipy, statistics against NumPy, bounds against white noise itself."""

import numpy as np
import pytest
import torch
from scipy import stats

from equidiff_cli.metrics.typicality import chi_square_tail, concentration, concentration_bounds, orders, typicality


def noise(n, d=512, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [0.9, 0.97, 1.0, 1.02, 1.1])
def test_chi_square_tail_against_scipy(scale):
    z = scale * noise(5).view(5, 8, 8, 8)
    squared = (z.double().flatten(1) ** 2).sum(1).numpy()
    expected = 2 * np.minimum(stats.chi2.cdf(squared, 512), stats.chi2.sf(squared, 512))
    np.testing.assert_allclose(chi_square_tail(z), expected, rtol=1e-6)
    np.testing.assert_allclose(typicality(z), squared / 512, rtol=1e-9)


def test_tails_of_white_noise_are_uniform():
    assert stats.kstest(chi_square_tail(noise(500)).numpy(), "uniform").pvalue > 0.01


def test_concentration_against_numpy():
    z, order = noise(3, 30), orders(30, 2, seed=1)
    mean, covariance = concentration(z, order, k=4)
    for n in range(3):
        for p in range(3):
            parts = z[n].double().numpy()[order[p].numpy()][:28].reshape(7, 4)
            assert mean[n, p].item() == pytest.approx(7 * (parts.mean(0) ** 2).sum() / 4)
            expected = np.linalg.norm(parts.T @ parts / 7 - np.eye(4), ord=2)
            assert covariance[n, p].item() == pytest.approx(expected)


def test_the_mean_statistic_of_white_noise_is_chi_square():
    mean, _ = concentration(noise(800, seed=1), orders(512, 0, seed=0), k=4)
    assert stats.kstest(4 * mean[:, 0].numpy(), stats.chi2(4).cdf).pvalue > 0.01


def test_orders_are_the_natural_one_and_permutations():
    order = orders(10, 3, seed=0)
    assert order[0].tolist() == list(range(10)) and order.sort(1).values.tolist() == [list(range(10))] * 4
    assert len({tuple(row.tolist()) for row in order}) == 4


def test_bounds_hold_for_white_noise_and_reject_noise_that_is_not_white():
    m, order = 128, orders(512, 0, seed=0)
    mean, covariance = concentration(noise(2000), order)
    mean_bound, covariance_bound = concentration_bounds(mean, covariance, m)
    for bound in (0.5, 0.2, 0.05):  # a bound on a probability: at most that share of white noise is below it
        assert (mean_bound < bound).double().mean() <= bound
        assert (covariance_bound < bound).double().mean() <= bound
    shifted = concentration(noise(1) + 0.3, order)
    assert concentration_bounds(*shifted, m)[0].item() < 1e-2
    repeated = concentration(noise(1, 256).repeat_interleave(2, dim=1), order)
    assert concentration_bounds(*repeated, m)[1].item() < 0.05
