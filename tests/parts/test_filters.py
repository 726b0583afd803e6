"""The low-pass filters against closed forms: cosines of known frequency, mirrors, constants, adjoints."""

import math
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from equidiff_cli.parts.filters import Butterworth, Gaussian, Ideal, Identity

FILTERS = [Gaussian(0.4), Butterworth(0.4, 3), Ideal(0.4)]
OPTIONS = sorted((Path(__file__).parents[2] / "configs/filter").glob("*.yaml"))
by_name = pytest.mark.parametrize("lowpass", FILTERS, ids=lambda f: type(f).__name__)


def cosine(height, width, k, m):
    """The DCT-II basis image of k half periods down and m across: (1, 1, H, W)."""
    down = torch.cos(math.pi * k * (torch.arange(height) + 0.5) / height)
    across = torch.cos(math.pi * m * (torch.arange(width) + 0.5) / width)
    return (down[:, None] * across)[None, None]


@pytest.mark.parametrize("k, m", [(0, 0), (0, 3), (5, 0), (4, 7), (15, 23)])
@pytest.mark.parametrize(
    "lowpass, gain",
    [
        (Gaussian(0.4), lambda r: math.exp(-(r**2) / (2 * 0.4**2))),
        (Butterworth(0.4, 3), lambda r: 1 / math.sqrt(1 + (r / 0.4) ** 6)),
        (Ideal(0.4), lambda r: 1.0 if r <= 0.4 else 0.0),
    ],
    ids=["gaussian", "butterworth", "ideal"],
)
def test_gain_at_a_cosine_is_the_formula(lowpass, gain, k, m):
    image = cosine(16, 24, k, m)
    r = math.hypot(k / 16, m / 24)
    torch.testing.assert_close(lowpass(image), gain(r) * image, atol=2e-6, rtol=0)


@pytest.mark.parametrize("lowpass, gain", [(Gaussian(0.5), math.exp(-0.5)), (Butterworth(0.5, 4), 0.5**0.5)])
def test_gain_at_the_cutoff(lowpass, gain):
    image = cosine(16, 16, 8, 0)  # 8 half periods in 16 pixels: half of Nyquist
    torch.testing.assert_close(lowpass(image), gain * image, atol=2e-6, rtol=0)


def test_ideal_keeps_the_cutoff_and_drops_what_lies_above():
    torch.testing.assert_close(Ideal(0.5)(cosine(16, 16, 8, 0)), cosine(16, 16, 8, 0), atol=2e-6, rtol=0)
    assert Ideal(0.5)(cosine(16, 16, 9, 0)).abs().max() < 2e-6
    assert Ideal(0.5)(cosine(16, 16, 6, 6)).abs().max() < 2e-6  # each axis below, the radius above


@pytest.mark.parametrize("size", [7, 20, 49, 100, 224])
def test_ideal_keeps_its_cutoff_at_every_size(size):
    for k in range(1, size, max(1, size // 20)):
        kept = Ideal(k / size)(cosine(size, 1, k, 0))
        torch.testing.assert_close(kept, cosine(size, 1, k, 0), atol=1e-3, rtol=0, msg=f"{k} of {size}")


@by_name
@pytest.mark.parametrize("size", [(8, 8), (7, 12), (1, 5)])
def test_constant_and_shape_are_kept(lowpass, size):
    images = torch.full((2, 3, *size), 0.7)
    torch.testing.assert_close(lowpass(images), images)


@by_name
def test_mean_is_kept(lowpass):
    images = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lowpass(images).mean(dim=(2, 3)), images.mean(dim=(2, 3)))


@by_name
@pytest.mark.parametrize("dims", [(-1,), (-2,), (-2, -1)])
def test_flips_commute(lowpass, dims):
    images = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lowpass(images.flip(dims)), lowpass(images).flip(dims), atol=1e-6, rtol=0)


def test_transpose_commutes():
    images = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Gaussian(0.3)(images.mT), Gaussian(0.3)(images).mT, atol=1e-6, rtol=0)


@pytest.mark.parametrize("axis", [-1, -2])
def test_bright_edge_does_not_leak_to_the_other_side(axis):
    images = torch.zeros(1, 1, 32, 32)
    images.select(axis, 0).fill_(1.0)
    filtered = Gaussian(0.3)(images)
    assert filtered.select(axis, 0).min() > 0.3
    assert filtered.select(axis, -1).abs().max() < 1e-6


def test_a_lower_cutoff_removes_more():
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for family in (Gaussian, Ideal, lambda cutoff: Butterworth(cutoff, 2)):
        left = [family(cutoff)(image).var().item() for cutoff in (0.1, 0.3, 0.9)]
        assert left[0] < left[1] < left[2] < image.var().item()


def test_samples_and_channels_are_independent():
    images = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    together = Gaussian(0.3)(images)
    for n in range(3):
        for c in range(2):
            one = Gaussian(0.3)(images[n : n + 1, c : c + 1])
            torch.testing.assert_close(together[n : n + 1, c : c + 1], one, atol=1e-6, rtol=0)


@by_name
def test_gradient_agrees_with_finite_differences(lowpass):
    images = torch.rand(2, 1, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    # Linear, so a large step is exact and outweighs the rounding of the float32 inside.
    assert torch.autograd.gradcheck(lowpass, (images,), eps=0.5, atol=1e-5, rtol=1e-4, nondet_tol=0)


@by_name
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtype_is_kept_and_computation_is_float32(lowpass, dtype):
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    filtered = lowpass(images)
    assert filtered.dtype == dtype
    assert torch.equal(filtered, lowpass(images.float()).to(dtype))


def test_none_is_exact():
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(Identity()(images), images)


def test_extreme_settings_stay_finite():
    images = torch.rand(1, 3, 16, 16)
    for lowpass in (Gaussian(1e-6), Butterworth(1e-6, 1000), Ideal(1e-6)):
        torch.testing.assert_close(lowpass(images), images.mean(dim=(2, 3), keepdim=True).expand_as(images))


@pytest.mark.parametrize("family", [Gaussian, Ideal, lambda cutoff: Butterworth(cutoff, 2)])
@pytest.mark.parametrize("cutoff", [0, -0.5, 1.5, float("nan"), "high", None, True])
def test_wrong_cutoff(family, cutoff):
    with pytest.raises(ValueError) as error:
        family(cutoff)
    assert str(error.value) == f"filter.cutoff={cutoff}: must be a number at least 1e-06 and at most 1"


@pytest.mark.parametrize("order", [0, -1, 2.5, "four", None])
def test_wrong_order(order):
    with pytest.raises(ValueError) as error:
        Butterworth(0.5, order)
    assert str(error.value) == f"filter.order={order}: must be a whole number at least 1"


@pytest.mark.parametrize("path", OPTIONS, ids=lambda p: p.stem)
def test_every_option_builds_and_says_what_it_is(path):
    lowpass = instantiate(OmegaConf.load(path))
    assert lowpass(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    assert path.read_text().startswith("# ")


def test_the_options_are_these():
    assert [path.stem for path in OPTIONS] == ["butterworth", "gaussian", "ideal", "none"]


def test_a_filter_has_siblings_with_other_cutoffs():
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for lowpass, sibling in (
        (Gaussian(0.4), Gaussian(0.7)),
        (Butterworth(0.4, 3), Butterworth(0.7, 3)),
        (Ideal(0.4), Ideal(0.7)),
        (Identity(), Gaussian(0.7)),
    ):
        assert type(lowpass.at(0.7)) is type(sibling) and torch.equal(lowpass.at(0.7)(image), sibling(image))
        with pytest.raises(ValueError, match=r"filter\.cutoff=2"):
            lowpass.at(2)
