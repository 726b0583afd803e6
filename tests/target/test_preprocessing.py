"""The measuring path against timm's own on pictures with the sharpest edges there are, where a resize overshoots."""

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.target.preprocessing import preprocessing

STD = (0.25, 0.2, 0.5)
CONFIG = {"mean": (0.5, 0.4, 0.3), "std": STD, "input_size": (3, 64, 64)}


def sharp(height, width, cell):
    """Cells of black, white and pure colours."""
    cells = np.random.default_rng(0).integers(0, 2, (height // cell + 1, width // cell + 1, 3)) * 255
    return Image.fromarray(cells.astype(np.uint8).repeat(cell, 0).repeat(cell, 1)[:height, :width].copy())


def seen(config, picture):
    """What the network gets of a picture, in levels of 255 before normalisation, (3, H, W)."""
    std, mean = (torch.tensor(config[key])[:, None, None] for key in ("std", "mean"))
    return (preprocessing(config)(to_tensor(picture)[None])[0] * std + mean) * 255


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize(
    ("interpolation", "height", "width", "cell", "crop"),
    [
        ("bicubic", 32, 32, 1, 0.875),
        ("bicubic", 32, 32, 5, 0.95),
        ("bicubic", 67, 67, 1, 0.95),
        ("bicubic", 300, 300, 7, 1.0),
        ("bilinear", 67, 67, 1, 0.95),
        ("bilinear", 90, 120, 4, 0.9),  # which pass of a bicubic resize is first depends on Pillow unless it is square
        ("bilinear", 300, 130, 7, 1.0),
    ],
)
def test_as_on_pictures_up_to_rounding(mode, interpolation, height, width, cell, crop):
    config = CONFIG | {"interpolation": interpolation, "crop_pct": crop, "crop_mode": mode}
    picture = sharp(height, width, cell)
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    theirs, ours = (create_transform(**config)(picture) * std + mean) * 255, seen(config, picture)
    assert ours.shape == (3, 64, 64)
    assert (ours - theirs).abs().max() < 1.2, "more than the rounding of the two passes of an 8-bit resize"


def test_no_value_is_outside_what_a_picture_has():
    config = CONFIG | {"interpolation": "bicubic", "crop_pct": 0.875}
    values = seen(config, sharp(32, 32, 4))
    assert values.min() > -1e-3 and values.max() < 255.001
    raw = create_transform(**config)(to_tensor(sharp(32, 32, 4))[None])
    overshoot = (raw[0] * torch.tensor(STD)[:, None, None]).amax((1, 2)) - (1 - torch.tensor(CONFIG["mean"]))
    assert overshoot.max() > 0.05, "timm's transform of a tensor does leave the range: the test can fail"


def test_a_picture_that_fits_is_only_normalised():
    config = CONFIG | {"interpolation": "bicubic", "crop_pct": 1.0}
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(CONFIG[key])[:, None, None] for key in ("mean", "std"))
    assert torch.equal(preprocessing(config)(x), (x - mean) / std)


def test_gradients_are_those_of_finite_differences():
    config = CONFIG | {"interpolation": "bicubic", "crop_pct": 0.9, "input_size": (3, 12, 12)}
    prepare = preprocessing(config)
    x = 0.3 + 0.4 * torch.rand(1, 3, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(prepare, x.requires_grad_())
