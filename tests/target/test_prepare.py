"""What stands between a picture and a shipped network, to the last bit what torchvision makes; and so is the network
that was trained as timm's."""

import pytest
import torch
from timm.models.resnet import BasicBlock, ResNet
from torch import nn
from torchvision.transforms.v2 import CenterCrop, Grayscale, InterpolationMode, Normalize
from torchvision.transforms.v2.functional import resize

from equidiff_cli.target.prepare import Luminance, Square, resized
from equidiff_cli.target.small import MEAN, STD, embedded

SIZES = [(32, 32), (17, 17), (31, 33), (65, 65), (40, 90), (91, 40), (300, 301), (5, 64)]


def pictures(height, width, count=2):
    """With values beyond [0, 1], as a decoder gives them."""
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height)) * 1.2 - 0.1


def with_gradient(function, x):
    x = x.clone().requires_grad_()
    given = function(x)
    return given, torch.autograd.grad(given.square().sum(), x)[0]


def equal(ours, theirs, x):
    return all(map(torch.equal, with_gradient(ours, x), with_gradient(theirs, x)))


@pytest.mark.parametrize("mode", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resized_as_torchvision_does_with_its_edges_in_range(height, width, mode):
    def theirs(x):
        for size in ([height, 24], [40, 24]):
            x = resize(x, size, InterpolationMode(mode), antialias=True).clamp(0, 1)
        return x

    assert equal(lambda x: resized(x, (40, 24), mode), theirs, pictures(height, width))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_squares_are_those_of_torchvision(height, width):
    def theirs(x):
        short = min(height, width)
        tall, wide = 32 * height // short, 32 * width // short
        for size in ([height, wide], [tall, wide]):
            x = resize(x, size, InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
        return Normalize(MEAN, STD)(CenterCrop(32)(x))

    assert equal(Square(32, MEAN, STD), theirs, pictures(height, width))


def test_luminance_is_that_of_torchvision():
    assert equal(Luminance(), Grayscale(), pictures(20, 31))


def test_smallresnet_is_timm_s_residual_network():
    theirs = ResNet(BasicBlock, layers=(2, 2, 2, 1), channels=(64, 128, 256, 256), num_classes=10)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 2, stride=2, bias=False), nn.Identity()
    ours = embedded("smallresnet").model
    theirs.load_state_dict(ours.state_dict())
    x = pictures(32, 32)
    assert equal(ours, theirs.eval().requires_grad_(False), x)
    assert all(map(torch.equal, ours.stages(x), theirs.forward_intermediates(x, intermediates_only=True)))
    assert len(list(ours.stages(x))) == 5
