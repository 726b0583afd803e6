"""Errors and spreads of the objective against sums written out, intervals against scipy."""

import numpy as np
import pytest
import torch
from scipy import stats

from equidiff_cli.metrics.error import errors, nearer, spread
from equidiff_cli.metrics.interval import bootstrap, clopper_pearson, newcombe, wilson


def values(n=50, k=3, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


def test_errors_are_euclidean():
    v, target = values(), torch.tensor([1.0, -2.0, 0.5])
    np.testing.assert_allclose(errors(v, target), np.sqrt(((v.numpy() - target.numpy()) ** 2).sum(1)), rtol=1e-6)


def test_spread_is_the_standard_deviation():
    one = values(k=1)
    assert spread(one) == pytest.approx(np.std(one.numpy(), ddof=1), rel=1e-6)
    three = values()
    assert spread(three) == pytest.approx(np.sqrt(np.var(three.numpy(), axis=0, ddof=1).sum()), rel=1e-6)


def test_the_query_among_unguided_samples():
    v = values(k=1)
    assert not nearer(v, v.mean(0)).any(), "it is in the middle"
    assert nearer(v, v.max(0).values + 1).all(), "it is far off"
    assert nearer(torch.tensor([[-3.0], [1.0], [2.0]]), torch.tensor([-2.5])).tolist() == [False, True, True]


@pytest.mark.parametrize(("hits", "count"), [(0, 8), (3, 8), (8, 8), (40, 100)])
def test_wilson_against_scipy(hits, count):
    expected = stats.binomtest(hits, count).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(hits, count) == pytest.approx((expected.low, expected.high), abs=1e-9)


def answers(both, first, second, neither):
    """Two rows of answers of which so many are True in both, in the first, in the second, in neither."""
    counts = torch.tensor([both, first, second, neither])
    pairs = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0]], dtype=torch.bool)
    return pairs.repeat_interleave(counts, dim=0).T


def test_newcombe_of_equal_answers_is_not_a_point():
    low, high = newcombe(*answers(8, 0, 0, 0))
    assert (low, high) == pytest.approx((wilson(8, 8)[0] - 1, 1 - wilson(8, 8)[0])) and low < -0.3
    assert newcombe(*answers(0, 8, 0, 0)) == pytest.approx((1 - 2**0.5 * (1 - wilson(8, 8)[0]), 1.0))


def test_newcombe_changes_its_sign_with_the_rows():
    low, high = newcombe(*answers(30, 20, 4, 10))
    assert newcombe(*answers(30, 4, 20, 10)) == pytest.approx((-high, -low)) and low < 16 / 64 < high


@pytest.mark.parametrize("truth", [(0.4, 0.3, 0.1, 0.2), (0.8, 0.1, 0.05, 0.05), (0.42, 0.56, 0.01, 0.01)])
def test_newcombe_covers_the_difference(truth):
    """How often the interval holds the true difference, over all tables of 12 samples with their probabilities."""
    n, covered = 12, 0.0
    for both in range(n + 1):
        for first in range(n + 1 - both):
            for second in range(n + 1 - both - first):
                counts = (both, first, second, n - both - first - second)
                low, high = newcombe(*answers(*counts))
                inside = low <= truth[1] - truth[2] <= high
                covered += inside * stats.multinomial.pmf(counts, n, truth)
    assert 0.93 <= covered <= 0.999


def test_bootstrap_of_the_mean_agrees_with_scipy():
    v = values(n=40, k=1)[:, 0]
    low, high = bootstrap(v, lambda r: r.mean(1), seed=0, resamples=4000)
    expected = stats.bootstrap((v.numpy(),), np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.03)
    assert (low, high) == bootstrap(v, lambda r: r.mean(1), seed=0, resamples=4000)


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (7, 7), (1, 1), (3, 10), (2, 40_000), (900, 1000)])
def test_exact_intervals_are_those_of_scipy(hits, count):
    known = stats.binomtest(hits, count).proportion_ci(method="exact")
    assert clopper_pearson(hits, count) == pytest.approx((known.low, known.high), rel=1e-6, abs=1e-12)


def test_exact_intervals_hold_where_draws_go_on_until_one_fits():
    rate = 0.05
    draws = np.random.default_rng(0).geometric(rate, 1000)  # of one sample each
    inside = [low <= rate <= high for low, high in (clopper_pearson(1, int(count)) for count in np.unique(draws))]
    held = dict(zip(np.unique(draws), inside, strict=True))
    assert np.mean([held[count] for count in draws]) > 0.95
