"""What pictures are described by: against scikit-image where it is there, and pictures whose numbers are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from equidiff_cli.audit.attributes import colour, layout, texture
from equidiff_cli.study.sets import Set

ALL = (*colour.COLOUR, *texture.TEXTURE, *layout.LAYOUT)


def pictures(count=3, side=16, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(value, side=16):
    return torch.full((1, 3, side, side), float(value), dtype=torch.float64)


def test_lab_is_that_of_the_standard():
    """Values of sRGB primaries in CIELAB under D65, as published (Lindbloom)."""
    known = {(1, 0, 0): (53.24, 80.09, 67.20), (0, 1, 0): (87.73, -86.18, 83.18), (0, 0, 1): (32.30, 79.19, -107.86)}
    for rgb, expected in known.items():
        found = colour.lab(torch.tensor(rgb, dtype=torch.float64)[None, :, None, None])[0, :, 0, 0]
        np.testing.assert_allclose(found, expected, atol=0.03)
    assert colour.lab(plain(1.0))[0, :, 0, 0].tolist() == pytest.approx([100, 0, 0], abs=0.02)


def test_colourfulness_is_that_of_the_paper():
    x = pictures(1)
    red, green, blue = 255 * x[0].numpy()
    rg, yb = red - green, 0.5 * (red + green) - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert colour.colourfulness(x).item() == pytest.approx(expected)
    assert colour.saturation(plain(0.4)).item() == pytest.approx(0, abs=0.05)


def test_every_attribute_is_a_number_a_picture_that_no_other_changes():
    x = pictures(5)
    case = SimpleNamespace(options=SimpleNamespace(batch=2))
    alone = [Set(case, x[i : i + 1]) for i in range(5)]
    names = [one.name for one in ALL]
    assert len(set(names)) == len(names)
    for one in ALL:
        found = one.values(Set(case, x))
        assert found.shape == (5,) and found.isfinite().all() and found.std() > 0, one.name
        torch.testing.assert_close(found, torch.cat([one.values(set) for set in alone]))
        assert one.values(Set(case, plain(0.5))).isfinite().all(), one.name


def test_where_the_object_is():
    x = plain(0.2, 32)
    x[:, :, 4:10, 20:28] = 0.9
    assert layout.down(x).item() == pytest.approx(7 / 32, abs=0.01)
    assert layout.across(x).item() == pytest.approx(24 / 32, abs=0.01)
    larger = plain(0.2, 32)
    larger[:, :, 6:26, 6:26] = 0.9
    assert layout.size(x) < layout.size(larger) and layout.extent(x) < layout.extent(larger)
    assert layout.size(larger).item() == pytest.approx(400 / 1024, rel=0.1)


def test_border_and_corners():
    x = plain(0.0, 32)
    x[:, :, :5, :5] = 1.0
    assert layout.corner(0, 0)(x).item() == pytest.approx(100 - 100 * 25 / 1024, abs=0.01)
    assert layout.corner(-1, -1)(x).item() == pytest.approx(-100 * 25 / 1024, abs=0.01)
    framed = plain(0.0, 32)
    framed[:, :, 4:-4, 4:-4] = 1.0
    assert layout.border(0)(framed).item() == pytest.approx(0, abs=0.01)
    assert layout.border_contrast(framed).item() == pytest.approx(-100, abs=0.02)


def test_symmetry_and_direction():
    x = pictures(1)
    mirrored = x + x.flip(3)
    assert texture.symmetry(2)(mirrored).item() == pytest.approx(1)
    assert abs(texture.symmetry(1)(mirrored).item()) < 0.5
    stripes = plain(0.0)
    stripes[..., ::4] = 1.0
    assert texture.direction(stripes).item() == 1 and texture.direction(stripes.mT).item() == 0


def test_patterns_of_single_pixels_have_the_highest_frequencies():
    rows, columns = torch.arange(16)[:, None], torch.arange(16)
    board = plain(0.5) + 0.1 * (1 - 2 * ((rows + columns) % 2))
    stripes = plain(0.5) + 0.1 * (1 - 2 * (columns % 2))
    assert texture.finest(board).item() == pytest.approx(-20, abs=0.5), "0.1^2 is -20 dB"
    assert texture.finest(stripes) < texture.finest(board) - 6
    assert texture.sharpness(board) > texture.sharpness(plain(0.5)) + 40


def test_the_slope_is_the_exponent_of_the_spectrum():
    generator, side = torch.Generator().manual_seed(0), 64
    white = torch.fft.fft2(torch.randn(16, side, side, generator=generator, dtype=torch.float64))
    f = torch.fft.fftfreq(side, dtype=torch.float64)
    radius = torch.hypot(f[:, None], f).clamp_min(1 / side)
    pink = torch.fft.ifft2(white / radius).real
    pink = (0.5 + 0.1 * pink / pink.std())[:, None].expand(-1, 3, -1, -1)
    assert texture.slope(pink).mean().item() == pytest.approx(-6, abs=0.7), "amplitude 1 / f"


def test_cooccurrence_counts_pairs():
    y = torch.tensor([[[0.0, 0.0], [0.99, 0.99]]])
    found = texture.cooccurrence(y, levels=2)[0]
    assert found.tolist() == [[0.25, 0.25], [0.25, 0.25]]
