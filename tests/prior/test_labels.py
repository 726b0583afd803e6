"""Priors with classes and priors that jump: what each sample is told, and what its starting noise holds."""

import itertools

import pytest
import torch

from equidiff_cli.prior import sampler
from equidiff_cli.prior.backwards import Backwards
from equidiff_cli.prior.paths import Flow, Renoising
from equidiff_cli.prior.prior import NULL_STREAM, Prior, random_label, sample_seed
from equidiff_cli.prior.sampler import Adjoint

SEEDS = [11, 12, 13, 14, 15, 16]


@pytest.fixture
def make(tiny_prior):
    """The tiny prior on another path or with another label."""

    def call(path=None, **options):
        parts = tiny_prior.network, tiny_prior.decoder, tiny_prior.mean, tiny_prior.std
        return Prior(*parts, name="tiny", weights={}, path=path or Flow("euler", 3, 0.5), **options)

    return call


def noise_of(prior, seeds=SEEDS):
    return torch.stack([prior.noise(seed) for seed in seeds])


def test_a_class_is_told_the_network_at_every_step(make, tiny_prior):
    prior, y = make(label=1), torch.ones(6, dtype=torch.int64)
    z = z0 = noise_of(prior)
    for t, after in itertools.pairwise(sampler.time_grid(3, 0.5)):
        z = z + (after - t) * tiny_prior.network(z, t.expand(6), y)
    torch.testing.assert_close(prior.flow(z0), z)
    torch.testing.assert_close(make().draws_as(1).flow(z0), z)
    assert (make().flow(z0) - z).abs().max() > 1e-3, "the class makes no difference here"


def test_random_classes_are_those_of_the_seeds_whoever_is_beside(make):
    prior = make(label="random")
    labels = prior.labels(SEEDS)
    assert labels == [random_label(seed, 3) for seed in SEEDS] and len(set(labels)) == 3
    z0, z = noise_of(prior), prior.of(SEEDS).flow(noise_of(prior))
    for i, label in enumerate(labels):
        torch.testing.assert_close(z[i : i + 1], make(label=label).flow(z0[i : i + 1]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(prior.of(torch.tensor(SEEDS[2:4])).flow(z0[2:4]), z[2:4], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match=r"^prior\.label=random: each sample has a class of its own; ask prior\.of"):
        prior.flow(z0)


def test_random_classes_are_all_as_likely_and_not_told_by_the_noise():
    labels = torch.tensor([random_label(seed, 4) for seed in range(2000)])
    assert (labels.bincount(minlength=4) - 500).abs().max() < 100  # five standard deviations
    first = torch.tensor([torch.randn(1, generator=torch.Generator().manual_seed(s)).item() for s in range(2000)])
    assert torch.corrcoef(torch.stack([labels.float(), first]))[0, 1].abs() < 0.1


@pytest.mark.parametrize("batch", [2, 4])
def test_unguided_samples_follow_the_same_rule(make, batch):
    seeds = [sample_seed(NULL_STREAM, i) for i in range(4)]
    prior = make(label="random")
    alone = [make(label=label).drawn([seed], 1) for seed, label in zip(seeds, prior.labels(seeds), strict=True)]
    torch.testing.assert_close(prior.unguided(4, batch), torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_velocities_at_other_times_are_those_of_the_class(make, tiny_prior):
    z, y = noise_of(make()), torch.full((6,), 2)
    v = make(label=2).velocity_on(torch.tensor([0.0, 0.5, 1.0]))(z, 1)
    torch.testing.assert_close(v, tiny_prior.network(z, torch.full((6,), 0.5), y))


def test_the_starting_noise_of_jumps_holds_all_their_noises(make, tiny_prior):
    prior = make(Renoising(3, "uniform"), label=0)
    assert prior.latent_shape == (4, 4, 4) and prior.noise_shape == (12, 4, 4)
    assert torch.equal(prior.noise(5)[:4], make().noise(5)), "with more steps the first noise stays"
    blocks = prior.noise(5).split(4)
    assert torch.pdist(torch.stack(blocks).flatten(1)).min() > 1
    z0, y = noise_of(prior), torch.zeros(6, dtype=torch.int64)
    z, *eps = z0.split(4, dim=1)
    times = torch.tensor([0, 1 / 3, 2 / 3])
    wanted = sampler.renoise(lambda x, t: tiny_prior.network(x, t.expand(6), y), z, eps, times)
    torch.testing.assert_close(prior.flow(z0), wanted)
    assert prior.decode(prior.flow(z0)).shape == (6, 3, 8, 8) and prior.evaluations == 3


def test_every_noise_of_the_jumps_has_a_gradient_and_recomputing_changes_none(make):
    prior = make(Renoising(3, (0.001, 0.6)))
    slopes = []
    for recompute in (None, 0, 2):
        z0 = noise_of(prior).requires_grad_()
        slopes.append(torch.autograd.grad(prior.flow(z0, Adjoint(recompute=recompute)).square().sum(), z0)[0])
    assert all(torch.equal(slope, slopes[0]) for slope in slopes)
    assert all((block.flatten(1).norm(dim=1) > 1e-2).all() for block in slopes[0].split(4, dim=1))


def test_a_network_whose_time_runs_backwards(make, tiny_prior):
    """Of the same flow, told in its own time: dz/ds = -dz/dt at s = 1 - t."""

    class Sit(torch.nn.Module):
        in_channels, input_size, num_classes = 4, 4, 3

        def condition(self, s, y):
            return tiny_prior.network.condition(1 - s, y)

        def velocity(self, z, c):
            return -tiny_prior.network.velocity(z, c)

    prior = make()
    parts = Backwards(Sit()), tiny_prior.decoder, tiny_prior.mean, tiny_prior.std
    turned = Prior(*parts, name="", weights={}, solver="euler", steps=3, shift=0.5)
    torch.testing.assert_close(turned.flow(noise_of(prior)), prior.flow(noise_of(prior)))
