"""Errors and spreads of the objective against sums written out, intervals against scipy."""

import numpy as np
import pytest
import torch
from scipy import stats

from equidiff_cli.metrics.error import errors, outlyingness, spread, success
from equidiff_cli.metrics.interval import bootstrap, wilson


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


def test_success_counts_what_is_within():
    assert success(torch.tensor([0.1, 0.2, 0.3, 0.4]), 0.3) == pytest.approx(0.75)


def test_outlyingness_of_the_centre_and_of_a_far_query():
    v = values(k=1)
    assert outlyingness(v, v.mean(0)) == 0
    assert outlyingness(v, v.max(0).values + 1) == 1


@pytest.mark.parametrize(("hits", "count"), [(0, 8), (3, 8), (8, 8), (40, 100)])
def test_wilson_against_scipy(hits, count):
    expected = stats.binomtest(hits, count).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(hits, count) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_bootstrap_of_the_mean_agrees_with_scipy():
    v = values(n=40, k=1)[:, 0]
    low, high = bootstrap(v, lambda r: r.mean(1), seed=0, resamples=4000)
    expected = stats.bootstrap((v.numpy(),), np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.03)
    assert (low, high) == bootstrap(v, lambda r: r.mean(1), seed=0, resamples=4000)
