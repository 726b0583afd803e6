"""Back from a picture to its noise: against noises that are known, and a linear flow whose inverse is."""

import math
from types import SimpleNamespace

import pytest
import torch

from equidiff_cli.errors import WrongRequest
from equidiff_cli.prior import inverse
from equidiff_cli.prior.sampler import euler, integrate, time_grid
from equidiff_cli.prior.starts import Starts


def test_the_noise_of_a_picture_that_the_prior_drew_gives_that_picture(tiny_prior):
    picture = tiny_prior.sample(tiny_prior.noise(7)[None], 1)
    found, near = inverse.invert(tiny_prior, picture)
    assert near > 40
    assert inverse.psnr(tiny_prior.sample(found, 1), picture) == pytest.approx(near, abs=0.1)


def test_the_steps_of_euler_are_undone_exactly_where_they_contract():
    times = time_grid(4, 1.0)
    prior = SimpleNamespace(path=SimpleNamespace(step=euler), velocity=lambda z, i: torch.sin(z) * (1 + i), times=times)
    start = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) / 2
    prior.times = times * 0.2  # dt times the Lipschitz constant is at most 0.2
    end = integrate(euler, prior.velocity, start, prior.times)
    torch.testing.assert_close(inverse.undo(prior, end), start, atol=1e-5, rtol=1e-5)


def test_least_squares_solve_a_linear_equation(monkeypatch):
    monkeypatch.setattr(inverse, "GOOD", 90.0)  # else it stops where nobody sees a difference
    monkeypatch.setattr(inverse, "ENOUGH", 0.0)
    matrix = torch.randn(12, 12, generator=torch.Generator().manual_seed(1)) / 4 + torch.eye(12)
    true = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(2))

    def function(z):
        return (z.flatten(1) @ matrix.T).view_as(z)

    found, near = inverse.least_squares(function, function(true), torch.zeros_like(true))
    torch.testing.assert_close(found, true, atol=1e-2, rtol=1e-2)
    assert near > 50


def test_psnr_is_that_of_its_formula():
    assert inverse.psnr(torch.zeros(2, 2), torch.full((2, 2), 0.1)) == pytest.approx(20, abs=1e-4)


def starts(prior, near, where=None, least=20.0):
    picture = prior.sample(prior.noise(7)[None], 1)
    made = Starts(prior, picture, near, where, least)
    made.noise_of, made.psnr = prior.noise(99)[None], 50.0
    return made


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_samples_begin_on_the_circle_between_both_noises(tiny_prior, share):
    made = starts(tiny_prior, (share, share))
    fresh, own, mixed = tiny_prior.noise(3), tiny_prior.noise(99), made.noise(3)
    torch.testing.assert_close(mixed, math.cos(share * math.pi / 2) * own + math.sin(share * math.pi / 2) * fresh)
    torch.testing.assert_close(made.drawn([3], 1), tiny_prior.sample(mixed[None], 1))
    torch.testing.assert_close(made.unguided(2, 2), tiny_prior.unguided(2, 2))


def test_shares_are_spread_between_and_are_a_samples_own(tiny_prior):
    made = starts(tiny_prior, (0.2, 0.6))
    shares = [made.share(seed) for seed in range(200)]
    assert 0.2 <= min(shares) < 0.25 and 0.55 < max(shares) <= 0.6 and made.share(5) == shares[5]


def test_outside_of_a_region_the_noise_is_the_querys(tiny_prior):
    where = torch.zeros(1, 1, 8, 8)
    where[..., :4] = 1  # the left half
    mixed = starts(tiny_prior, (1.0, 1.0), where).noise(3)
    assert torch.equal(mixed[..., :2], tiny_prior.noise(3)[..., :2])
    assert torch.equal(mixed[..., 2:], tiny_prior.noise(99)[..., 2:])


def test_a_picture_that_the_prior_cannot_make_is_refused(tiny_prior):
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).round()
    with pytest.raises(WrongRequest, match=r"^least_psnr=60: tiny comes no nearer to the query than [\d.]+ dB; "):
        Starts(tiny_prior, picture, (0.0, 0.0), None, 60.0).find()
