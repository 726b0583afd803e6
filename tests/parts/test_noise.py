"""What stays of the starting noise while an optimiser moves it."""

import pytest
import torch

from equidiff_cli.parts.noise import KEEPERS, keeper, rings


def latents(n=3, shape=(2, 6, 8), seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(z):
    return z + 0.7 * latents(len(z), z.shape[1:], seed=1) + 0.3


@pytest.mark.parametrize("name", KEEPERS)
def test_it_is_a_projection_that_leaves_the_start_alone(name):
    keep, z = keeper(name), latents()
    state = keep.init(z)
    torch.testing.assert_close(keep(z, state), z)
    once = keep(moved(z), state)
    torch.testing.assert_close(keep(once, state), once)
    assert all(len(value) == len(z) for value in state.values())


def test_the_sphere_keeps_the_norm_and_the_direction():
    z = latents()
    kept = keeper("sphere")(moved(z), keeper("sphere").init(z))
    torch.testing.assert_close(kept.flatten(1).norm(dim=1), z.flatten(1).norm(dim=1))
    cosine = torch.cosine_similarity(kept.flatten(1), moved(z).flatten(1))
    torch.testing.assert_close(cosine, torch.ones(3).double())


def test_white_keeps_the_power_of_every_ring_of_every_channel():
    z = latents()
    kept = keeper("white")(moved(z), keeper("white").init(z))
    before, after = (torch.fft.fft2(v, norm="ortho").abs().square() for v in (z, kept))
    where = rings(z)
    assert where[0, 0] == 0 and where[0, 1] == where[1, 0] == where[0, 7] == 1 and where[1, 1] == 1 and where[3, 4] == 5
    for ring in range(int(where.max()) + 1):
        torch.testing.assert_close(after[..., where == ring].sum(-1), before[..., where == ring].sum(-1))


def test_white_is_the_nearest_with_these_norms():
    z = latents(1)
    keep, far = keeper("white"), moved(z)
    state = keep.init(z)
    nearest = (keep(far, state) - far).norm()
    others = [keep(keep(far, state) + 0.1 * latents(1, seed=seed), state) for seed in range(2, 12)]
    assert all((other - far).norm() > nearest for other in others)


@pytest.mark.parametrize("name", KEEPERS)
def test_along_the_tangent_nothing_is_put_back_to_first_order(name):
    keep, z = keeper(name), latents()
    rows = torch.stack([latents(seed=seed) for seed in (1, 2)], 1)
    tangent = keep.tangent(rows, z)
    assert (tangent.flatten(2).norm(dim=2) <= rows.flatten(2).norm(dim=2) + 1e-9).all()
    torch.testing.assert_close(keep.tangent(tangent, z), tangent)
    for row in tangent.unbind(1):
        far, near = (z + step * row - keep(z + step * row, keep.init(z)) for step in (1e-3, 1e-4))
        assert far.abs().max() < 1e-4 and near.abs().max() < 2e-2 * far.abs().max() + 1e-12, "falls with the square"


def test_samples_do_not_share():
    z = latents()
    for name in KEEPERS:
        keep = keeper(name)
        together = keep(moved(z), keep.init(z))
        alone = torch.cat([keep(far[None], keep.init(one[None])) for far, one in zip(moved(z), z, strict=True)])
        torch.testing.assert_close(together, alone)


def test_another_name_is_refused():
    with pytest.raises(ValueError, match=r"^optimizer\.noise=pink: use one of free, sphere, white"):
        keeper("pink")
