"""Two samples of numbers: against closed forms, scipy, and the level that the tests claim."""

import numpy as np
import pytest
import torch
from scipy import stats

from equidiff_cli.metrics import compare


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_moments_are_those_of_numpy():
    rows = normal(20, 3) + 100
    mean, variance = compare.moments(rows, torch.ones(1, 20))
    np.testing.assert_allclose(mean[0], rows.numpy().mean(0))
    np.testing.assert_allclose(variance[0], rows.numpy().var(0, ddof=1), rtol=1e-9)


def test_information_is_the_divergence_of_two_normal_laws():
    x = torch.linspace(-12, 12, 200001, dtype=torch.float64)
    p, q = stats.norm(0.7, 0.4).pdf(x), stats.norm().pdf(x)
    expected = np.trapezoid(np.where(p > 1e-300, p * np.log2(np.maximum(p, 1e-300) / q), 0), x)
    assert compare.information(torch.tensor(0.4), torch.tensor(0.7)).item() == pytest.approx(expected, rel=1e-4)
    assert compare.information(torch.tensor(1.0), torch.tensor(0.0)).item() == 0


def test_adjusted_is_that_of_scipy():
    p = torch.rand(50, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 2
    np.testing.assert_allclose(compare.adjusted(p), stats.false_discovery_control(p.numpy()))


def test_a_shift_is_no_spread_and_a_spread_is_no_shift():
    shifted, narrow = normal(24, 1) + 2, 0.3 * normal(24, 1, seed=2)
    rows = torch.cat([torch.cat([shifted, narrow], 1), normal(200, 2, seed=3)])
    spread, shift = compare.p_values(rows, 24, 1999, 0)
    assert spread[0] > 0.05 and shift[0] <= 0.001
    assert spread[1] <= 0.001 and shift[1] > 0.05


def test_p_values_of_the_mean_are_near_welchs():
    rows = normal(80, 6, seed=4)
    rows[:20] += torch.linspace(0, 0.8, 6)
    _, shift = compare.p_values(rows, 20, 4999, 0)
    expected = stats.ttest_ind(rows[:20], rows[20:], equal_var=False).pvalue
    np.testing.assert_allclose(shift, expected, atol=0.04)


@pytest.mark.parametrize("heavy", [False, True])
def test_chance_is_called_chance(heavy):
    """Of 60 comparisons of equal laws in 20 numbers each, a twentieth finds anything: 9 or more have one in 1500."""
    pool = normal(60, 150, 20, seed=5)
    pool = pool.sinh() if heavy else pool
    found = 0
    for seed, rows in enumerate(pool):
        q = compare.adjusted(torch.cat(compare.p_values(rows, 24, 1999, seed)))
        found += bool((q < 0.05).any())
    assert found < 9


def test_intervals_hold_the_truth_and_shrink():
    few = compare.intervals(torch.cat([0.5 * normal(20, 1) + 1, normal(200, 1, seed=6)]), 20, 0)
    many = compare.intervals(torch.cat([0.5 * normal(2000, 1) + 1, normal(2000, 1, seed=7)]), 2000, 0)
    for (low, high), (lower, upper), truth in zip(few, many, (0.5, 1.0), strict=True):
        assert low < truth < high and lower < truth < upper and upper - lower < (high - low) / 3


def test_the_area_under_the_curve_counts_pairs():
    first, second = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 2.0])
    expected = stats.mannwhitneyu(first, second).statistic / 6
    assert compare.area_under_curve(first, second) == pytest.approx(expected)


def test_scores_are_normal_whatever_the_tails():
    reference = normal(400, 1).sinh().exp()
    found = compare.scores(reference, reference)
    assert found.mean().item() == pytest.approx(0, abs=1e-9) and found.std().item() == pytest.approx(1, abs=0.02)
    ranks = stats.rankdata(reference[:, 0].numpy()) / 401
    np.testing.assert_allclose(found[:, 0], stats.norm.ppf(ranks), atol=1e-9)
    ends = compare.scores(torch.tensor([[-1e9], [1e9]]), reference)[:, 0]
    assert ends.tolist() == pytest.approx([stats.norm.ppf(0.5 / 401), stats.norm.ppf(400.5 / 401)])
