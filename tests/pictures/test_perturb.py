"""Perturbations against torchvision and against a shifted cosine."""

import torch
from torchvision.transforms.v2 import functional

from equidiff_cli.pictures.perturb import augmented, half_pixel_shift, jpeg


def pictures(n=2, side=32):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_jpeg_is_what_torchvision_makes_with_colour_at_half_the_resolution():
    smooth = torch.nn.functional.interpolate(pictures(side=6), size=32, mode="bicubic").clamp(0, 1)
    for x in (pictures(side=33), smooth):
        for quality in (1, 75, 90, 95):
            expected = [functional.jpeg((picture * 255).round().byte(), quality) for picture in x]
            assert torch.equal(jpeg(x, quality), torch.stack(expected).float() / 255)


def test_half_pixel_shift_moves_a_cosine_by_half_a_pixel():
    side, k = 32, 3  # cos(pi k (i + 1/2) / side) is what the mirrored picture continues smoothly
    i = torch.arange(side).float()
    here, moved = (0.5 + 0.4 * torch.cos(torch.pi * k * (i + 0.5 - by) / side) for by in (0, 0.5))
    x = here.expand(1, 3, side, side)
    torch.testing.assert_close(half_pixel_shift(x), moved.expand(1, 3, side, side), atol=1e-5, rtol=0)
    x = here[:, None].expand(1, 3, side, side)
    torch.testing.assert_close(half_pixel_shift(x), moved[:, None].expand(1, 3, side, side), atol=1e-5, rtol=0)


def test_half_pixel_shift_keeps_a_constant():
    torch.testing.assert_close(half_pixel_shift(torch.full((1, 3, 8, 8), 0.3)), torch.full((1, 3, 8, 8), 0.3))


def test_augmentations_are_their_own_and_small():
    x = torch.linspace(0, 1, 32).expand(1, 3, 32, 32)
    made = augmented(x, 24, seed=3)
    assert torch.equal(made[:5], augmented(x, 5, seed=3)) and not torch.equal(made, augmented(x, 24, seed=4))
    assert made.min() >= 0 and made.max() <= 1
    slopes = made[..., 16].mean((1, 2)) - made[..., 15].mean((1, 2))
    assert 4 <= (slopes < 0).sum() <= 20, "half of them are mirrored"
    assert slopes.abs().min() > 0.6 * 0.8 / 31 and slopes.abs().max() < 1.5 / 31, "contrast and crop by a fifth at most"
    grey = augmented(torch.full((1, 3, 32, 32), 0.5), 24, seed=3)
    assert grey.flatten(1).std(1).max() < 1e-6 and grey.min() + 0.01 >= 0.4 and grey.max() <= 0.61
