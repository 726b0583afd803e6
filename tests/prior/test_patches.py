"""The autoencoder of patches: principal components against numpy's, locality, recomputation."""

import numpy as np
import pytest
import torch

from equidiff_cli.prior.patches import PatchAutoencoder


@pytest.fixture
def pictures():
    """(40, 3, 8, 8) in [-1, 1], with correlated neighbours."""
    noise = torch.rand(40, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(noise, 5, stride=1) * 6 - 3


def patches(x):
    """(N, 3, 8, 8) -> (4 N, 48), every 4 x 4 patch as a row."""
    rows = [x[:, :, i : i + 4, j : j + 4].flatten(1) for i in (0, 4) for j in (0, 4)]
    return torch.stack(rows, dim=1).flatten(0, 1).double().numpy()


@pytest.mark.parametrize("channels", [1, 10, 47])
def test_the_error_is_the_variance_of_the_components_left_out(pictures, channels):
    model = PatchAutoencoder(patch_size=4, latent_channels=channels, width=8, depth=1)
    model.fit(pictures)
    with torch.no_grad():
        decoded = model.decode(model.encode(pictures)).sample
    values = np.linalg.eigvalsh(np.cov(patches(pictures).T, bias=True))[::-1]
    error = ((patches(pictures) - patches(decoded)) ** 2).sum(1).mean()
    assert error == pytest.approx(values[channels:].sum(), rel=1e-3)


def test_latents_are_uncorrelated_centred_and_ordered_by_their_variance(pictures):
    model = PatchAutoencoder(patch_size=4, latent_channels=6, width=8, depth=1)
    model.fit(pictures)
    with torch.no_grad():
        z = model.encode(pictures).movedim(1, -1).flatten(0, 2).double().numpy()
    covariance, expected = np.cov(z.T), np.linalg.eigvalsh(np.cov(patches(pictures).T))[::-1]
    assert np.abs(z.mean(0)).max() < 1e-5
    np.testing.assert_allclose(covariance, np.diag(expected[:6]), atol=1e-5)


def test_all_components_give_the_picture_back(pictures):
    model = PatchAutoencoder(patch_size=4, latent_channels=48, width=8, depth=1)
    model.fit(pictures)
    with torch.no_grad():
        z = model.encode(pictures)
        assert z.shape == (40, 48, 2, 2)
        torch.testing.assert_close(model.decode(z).sample, pictures, atol=1e-5, rtol=0)


def test_what_refines_looks_at_the_neighbours(pictures):
    torch.manual_seed(0)
    model = PatchAutoencoder(patch_size=4, latent_channels=6, width=8, depth=1)
    for block in model.refine.modules():  # group norms couple all positions
        for name, part in block.named_children():
            if isinstance(part, torch.nn.GroupNorm):
                setattr(block, name, torch.nn.Identity())
    with torch.no_grad():
        z = model.encode(pictures[:2])
        other = z.clone()
        other[:, :, 1, 1] += 1
        first, second = (torch.nn.functional.pixel_unshuffle(model.decode(x).sample, 4) for x in (z, other))
    assert ((first - second)[:, :, 0, 0].abs().amax() > 1e-4).item()


def test_recomputing_keeps_less_and_changes_no_gradient():
    torch.manual_seed(0)
    model = PatchAutoencoder(patch_size=4, latent_channels=10, width=8, depth=6).requires_grad_(False)
    z = torch.randn(8, 10, 8, 8, requires_grad=True)

    def gradient():
        return torch.autograd.grad(model.decode(z).sample.square().sum(), z)[0]

    plain = gradient()
    kept = kept_bytes(model, z)
    model.enable_gradient_checkpointing()
    assert torch.equal(gradient(), plain)
    assert kept_bytes(model, z) < kept / 2


def kept_bytes(model, z):
    """Bytes that a decode keeps for its backward pass."""
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
        model.decode(z)
    return sum(sizes)
