"""What chance gives: the prior's own unguided samples, kept in 8 bits, and their likelihoods."""

import pytest
import torch

from equidiff_cli.metrics.likelihood import log_normal, signs
from equidiff_cli.prior.sampler import time_grid
from equidiff_cli.study import cache
from equidiff_cli.study.null import TOWARDS_DATA, log_likelihoods, unguided


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.constants, "HF_HOME", str(tmp_path))


def test_unguided_samples_are_those_of_the_prior_in_8_bits(tiny_prior):
    null = unguided(tiny_prior, {"prior": "tiny"}, samples=5, batch=2)
    assert torch.equal((null.pictures * 255).round() / 255, null.pictures)
    assert (null.pictures - tiny_prior.unguided(5, 5)).abs().max() <= 0.5 / 255 + 1e-4
    with torch.no_grad():
        torch.testing.assert_close(tiny_prior.flow(null.z_start), null.z, atol=1e-5, rtol=1e-4)


def test_they_are_kept(tiny_prior, monkeypatch):
    first = unguided(tiny_prior, {"prior": "tiny"}, samples=3, batch=2)
    monkeypatch.setattr(type(tiny_prior), "flow", pytest.fail)
    again = unguided(tiny_prior, {"prior": "tiny"}, samples=3, batch=3)
    assert torch.equal(again.pictures, first.pictures) and torch.equal(again.z, first.z)


def test_likelihoods_do_not_depend_on_the_batch(tiny_prior):
    z = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    one, start = log_likelihoods(tiny_prior, z, probes=2, steps=3, seed=0, batch=1)
    all_at_once, _ = log_likelihoods(tiny_prior, z, probes=2, steps=3, seed=0, batch=3)
    assert one.shape == (2, 3)
    torch.testing.assert_close(one, all_at_once, atol=1e-3, rtol=0)
    assert ((one - log_normal(start)).abs() > 1e-3).all(), "the flow changes volume"


def test_the_likelihood_of_one_coarse_step_written_out(tiny_prior):
    """One step of Heun's method backwards, with traces from the whole Jacobian."""
    z = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    (estimate,), start = log_likelihoods(tiny_prior, z, probes=1, steps=1, seed=5, batch=1)
    velocity, probe = tiny_prior.velocity_on(time_grid(1, TOWARDS_DATA)), signs(1, z.shape, 5)[0]

    def quadratic(z, i):
        jacobian = torch.autograd.functional.jacobian(lambda x: velocity(x, i), z).reshape(64, 64)
        return (probe.flatten() @ jacobian @ probe.flatten()).item()

    with torch.no_grad():
        v = velocity(z, 1)
        v_start = velocity(z - v, 0)
    expected = z - (v + v_start) / 2
    torch.testing.assert_close(start, expected)
    trace = (quadratic(z, 1) + quadratic(z - v, 0)) / 2
    assert estimate.item() == pytest.approx(log_normal(expected).item() - trace, abs=1e-3)
