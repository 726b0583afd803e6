"""Diagnostics of Markov chains against what is known of autoregressive ones, and against sums written out."""

import pytest
import torch

from equidiff_cli.metrics.chains import (
    autocorrelation,
    autocovariance,
    correlation_time,
    effective_size,
    halves,
    split_rhat,
)


def autoregressive(rho, chains, states, seed=0, apart=0.0):
    """x_t = rho x_(t-1) + noise with variance 1 in equilibrium, chain k shifted by `apart` k."""
    generator = torch.Generator().manual_seed(seed)
    x = [torch.randn(chains, generator=generator, dtype=torch.float64)]
    for _ in range(states - 1):
        x.append(rho * x[-1] + (1 - rho**2) ** 0.5 * torch.randn(chains, generator=generator, dtype=torch.float64))
    return torch.stack(x, 1) + apart * torch.arange(chains)[:, None]


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, -0.4])
def test_correlation_time_of_an_autoregressive_chain(rho):
    """tau = (1 + rho) / (1 - rho), autocorrelation rho^lag."""
    x = autoregressive(rho, 8, 20_000)
    tau = (1 + rho) / (1 - rho)
    assert correlation_time(x) == pytest.approx(tau, rel=0.1)
    assert effective_size(x) == pytest.approx(x.numel() / tau, rel=0.1)
    expected = rho ** torch.arange(6.0).double()
    torch.testing.assert_close(autocorrelation(x)[:6], expected, atol=0.03, rtol=0)


def test_the_error_of_a_mean_is_that_of_so_many_independent_draws():
    means = torch.stack([autoregressive(0.8, 1, 500, seed).mean() for seed in range(400)])
    sizes = [effective_size(autoregressive(0.8, 1, 500, seed)) for seed in range(40)]
    assert means.var().item() == pytest.approx(1 / (sum(sizes) / len(sizes)), rel=0.25)


def test_autocovariance_is_its_sum():
    x = autoregressive(0.6, 3, 11)
    centred = x - x.mean(1, keepdim=True)
    for lag in (0, 1, 4):
        torch.testing.assert_close(autocovariance(x)[:, lag], (centred[:, : 11 - lag] * centred[:, lag:]).sum(1) / 11)


def test_rhat_is_its_formula_and_near_one_for_chains_of_one_law():
    x = autoregressive(0.3, 4, 1000)
    assert halves(x[:, :7]).shape == (8, 3)
    parts = torch.cat([x[:, :500], x[:, 500:]])
    within, between = parts.var(1).mean(), parts.mean(1).var()
    assert split_rhat(x) == pytest.approx((499 / 500 + between / within).sqrt().item())
    assert split_rhat(x) + 1e-3 >= 1 and split_rhat(x) < 1.01


def test_chains_that_disagree_or_drift_show():
    assert split_rhat(autoregressive(0.3, 4, 500, apart=0.5)) > 1.1
    drift = autoregressive(0.3, 4, 500) + torch.linspace(0, 3, 500)
    assert split_rhat(drift) > 1.2
    assert effective_size(autoregressive(0.3, 4, 500, apart=3.0)) < 10, "four places, not 2000 draws"


def test_what_does_not_vary_has_no_number():
    still = torch.ones(3, 20)
    assert split_rhat(still) is None and effective_size(still) is None
    assert split_rhat(torch.arange(3.0)[:, None].expand(3, 20)) == float("inf")
    assert split_rhat(torch.randn(3, 3)) is None and correlation_time(torch.randn(3, 3)) is None
