"""The two small classifiers for 32 x 32 pictures that ship with the package."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import nn

from equidiff_cli.checks import one_of
from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.target.prepare import Square
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


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input is carried (He et al. 2016): (N, C, H, W) -> (N, D, H/s, W/s) with
    a stride s."""

    def __init__(self, in_channels, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1, self.act1 = nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2, self.act2 = nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        self.downsample = None
        if (in_channels, stride) != (channels, 1):
            smaller = nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(smaller, nn.BatchNorm2d(channels))
        for conv in self.modules():
            if isinstance(conv, nn.Conv2d):
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.bn2.weight)  # a block begins as nothing but what is carried

    def forward(self, x):
        carried = x if self.downsample is None else self.downsample(x)
        h = self.act1(self.bn1(self.conv1(x)))
        return self.act2(self.bn2(self.conv2(h)) + carried)


class SmallResNet(nn.Module):
    """A residual network on patches of 2 x 2 pixels, with the names of timm's: pictures (N, 3, 32, 32), normalised ->
    logits (N, 10)."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 2, stride=2, bias=False)
        self.bn1, self.act1 = nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 256, 2))
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(256, 10)

    def stages(self, x):
        """What the first convolution and each of the four layers give, one after another."""
        x = self.act1(self.bn1(self.conv1(x)))
        yield x
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            yield x

    def forward(self, x):
        *_, last = self.stages(x)
        return self.fc(self.global_pool(last))


def small_convnet():
    """The embedded classifier `smallconv`."""
    return SmallConvNet()


def small_resnet():
    """The embedded second opinion `smallresnet`.

    Where `smallconv` takes maxima, it strides and averages; ReLU instead of GELU; residual blocks throughout.
    """
    return SmallResNet()


CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHITECTURES = {"smallconv": small_convnet, "smallresnet": small_resnet}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the CIFAR-10 training pictures, range [0, 1]


def prepare():
    """Pictures (N, 3, H, W) in [0, 1] -> what the shipped classifiers take, (N, 3, 32, 32)."""
    return Square(32, MEAN, STD)


def embedded(name):
    """One of the classifiers that ship with the package: 32 x 32 pictures, the ten classes of CIFAR-10."""
    one_of("target.name", name, ARCHITECTURES)
    file = WEIGHTS / f"{name}.safetensors"
    model = load(ARCHITECTURES[name], read(file, "target"), "target", file)
    return Target(model, prepare(), CIFAR10, name, [file])


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
