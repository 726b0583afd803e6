"""The two small classifiers for 32 x 32 pictures that ship with the package."""

from dataclasses import dataclass

import torch.nn.functional as F
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from equidiff_cli.checks import one_of
from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.target.preprocessing import preprocessing
from equidiff_cli.target.target import Target
from equidiff_cli.weights.read import load, read


class PooledBlock(nn.Module):
    """Two 3 x 3 convolutions with a 2 x 2 maximum after the first: (N, C, H, W) -> (N, D, H/2, W/2)."""

    def __init__(self, in_channels, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = F.gelu(self.bn1(F.max_pool2d(self.conv1(x), 2)))
        return x + F.gelu(self.bn2(self.conv2(x)))


class SmallConvNet(nn.Module):
    """A convolutional network in three stages, after the "airbench" networks (Jordan 2024, arXiv:2404.00498).

    The first layer is a 2 x 2 convolution whose filters whiten the patches of the training pictures; three pooled
    blocks follow, the features are the maximum over space. Pictures (N, 3, 32, 32), normalised -> logits (N, classes).
    Layers have the names of a residual network: `conv1`, `layer1.0.conv1` ... `layer3.0.conv2`, `fc`.
    """

    def __init__(self, num_classes=10, widths=(64, 192, 256), logit_scale=0.125):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 2)
        self.layer1 = nn.Sequential(PooledBlock(24, widths[0]))
        self.layer2 = nn.Sequential(PooledBlock(widths[0], widths[1]))
        self.layer3 = nn.Sequential(PooledBlock(widths[1], widths[2]))
        self.fc = nn.Linear(widths[2], num_classes, bias=False)
        self.logit_scale = logit_scale

    def forward(self, x):
        x = F.gelu(self.conv1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.amax(dim=(2, 3))) * self.logit_scale


def small_convnet():
    """The embedded classifier `smallconv`."""
    return SmallConvNet()


def small_resnet():
    """The embedded second opinion `smallresnet`: timm's residual network (He et al. 2016) on patches of 2 x 2 pixels.

    Where `smallconv` takes maxima, it strides and averages; ReLU instead of GELU; residual blocks throughout.
    """
    model = ResNet(BasicBlock, layers=(2, 2, 2, 1), channels=(64, 128, 256, 256), num_classes=10)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 2, stride=2, bias=False), nn.Identity()
    return model


CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHITECTURES = {"smallconv": small_convnet, "smallresnet": small_resnet}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the CIFAR-10 training pictures, range [0, 1]


def embedded(name):
    """One of the classifiers that ship with the package: 32 x 32 pictures, the ten classes of CIFAR-10."""
    one_of("target.name", name, ARCHITECTURES)
    file = WEIGHTS / f"{name}.safetensors"
    model = load(ARCHITECTURES[name], read(file, "target"), "target", file)
    config = dict(input_size=(3, 32, 32), mean=MEAN, std=STD, crop_pct=1.0, interpolation="bicubic")
    return Target(model, preprocessing(config), CIFAR10, name, [file])


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """One of the classifiers that ship with the package; a `TargetSource`.

    Args:
        name: "smallconv" or "smallresnet".
    """

    name: str

    def __post_init__(self):
        one_of("target.name", self.name, ARCHITECTURES)

    def sources(self):
        return []

    def build(self):
        return embedded(self.name)
