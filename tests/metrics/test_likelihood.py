"""The log-likelihood of flows whose density is known in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import MultivariateNormal

from equidiff_cli.metrics.likelihood import (
    bits_per_dimension,
    log_likelihood,
    log_normal,
    signs,
    standard_error,
    velocity_and_trace,
)
from equidiff_cli.prior.sampler import time_grid


class GaussianFlow:
    """The flow from N(0, I) to N(mean, S S^T) along x(t) = t data + (1 - t) noise; S is symmetric (d, d).

    With C(t) = t^2 S S + (1 - t)^2 I: v(x, t) = mean + (t S S - (1 - t) I) C(t)^-1 (x - t mean).
    """

    def __init__(self, mean, s, times):
        self.mean, self.square, self.times = mean, s @ s, times

    def __call__(self, x, i):
        t, eye = self.times[i], torch.eye(len(self.mean), dtype=self.mean.dtype)
        gain = (t * self.square - (1 - t) * eye) @ torch.linalg.inv(t**2 * self.square + (1 - t) ** 2 * eye)
        return self.mean + (x - t * self.mean) @ gain.T


@pytest.fixture
def flow():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    s = 0.6 * torch.eye(6, dtype=torch.float64) + 0.04 * (root + root.T)
    return GaussianFlow(torch.randn(6, generator=generator, dtype=torch.float64), s, time_grid(80, 0.6).double())


def test_analytic_gaussian_flow(flow):
    """The mean over all 2^6 sign vectors is the exact trace, so that only the solver's error is left."""
    data = MultivariateNormal(flow.mean, flow.square)
    torch.manual_seed(0)
    z = data.sample((5,))
    every = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 6)
    estimates, start = log_likelihood(flow, z, flow.times, every[:, None].expand(64, 5, 6))
    torch.testing.assert_close(estimates.mean(0), data.log_prob(z), atol=2e-3, rtol=0)
    values, vectors = torch.linalg.eigh(flow.square)
    whitened = (z - flow.mean) @ (vectors / values.sqrt()) @ vectors.T  # C(t)^-1/2 (x - t mean) does not change
    torch.testing.assert_close(start, whitened, atol=5e-3, rtol=0)


def test_few_probes_are_unbiased_and_their_error_is_the_stated_one(flow):
    data = MultivariateNormal(flow.mean, flow.square)
    torch.manual_seed(1)
    z = data.sample((1,)).expand(400, 6)
    probes = signs(4, (400, 6), seed=0).double()
    estimates, _ = log_likelihood(flow, z, flow.times, probes)
    mean, error = estimates.mean(0), standard_error(estimates)
    assert mean.mean().item() == pytest.approx(data.log_prob(z[0]).item(), abs=4 * mean.std().item() / 20 + 2e-3)
    assert mean.std().item() == pytest.approx(error.square().mean().sqrt().item(), rel=0.15)


def test_traces_against_the_jacobian():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 5)).double()
    net.requires_grad_(False)
    z = torch.randn(3, 5, dtype=torch.float64)
    probes = signs(2, (3, 5), seed=0).double()
    v, traces = velocity_and_trace(lambda x, i: net(x), z, 0, probes)
    torch.testing.assert_close(v, net(z))
    for n in range(3):
        jacobian = torch.autograd.functional.jacobian(net, z[n])
        for p in range(2):
            assert traces[p, n].item() == pytest.approx((probes[p, n] @ jacobian @ probes[p, n]).item())


def test_signs_are_signs_and_repeat():
    e = signs(3, (4, 5), seed=7)
    assert e.shape == (3, 4, 5) and set(e.flatten().tolist()) == {-1.0, 1.0}
    assert torch.equal(e, signs(3, (4, 5), seed=7))


def test_units():
    z = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(log_normal(z), stats.norm.logpdf(z.double()).sum(1))
    assert bits_per_dimension(-12 * math.log(2), 12) == pytest.approx(1)  # a density of 2^-12 over 12 numbers
    estimates = torch.tensor([[1.0], [2.0], [4.0]])
    assert standard_error(estimates).item() == pytest.approx(stats.sem([1.0, 2.0, 4.0]))
