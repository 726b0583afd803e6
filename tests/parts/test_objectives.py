"""Every objective against a direct computation on the network, its gradient, its description, and what is refused."""

import re

import pytest
import torch
from timm.models.convnext import ConvNeXtBlock
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from equidiff_cli.parts.objectives import Features, Logit, Logits, Margin, Neuron, Probability
from equidiff_cli.target.target import Target

CLASSES = ["ant", "bee", "golden retriever, retriever", "crane", "crane, machine"]
QUERY = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
PICTURES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


class Network(nn.Module):
    """Maps, a vector, and layers whose output nothing can be held of."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True)
        self.windows, self.pair, self.video = Windows(), Pair(), Video()
        self.hidden, self.head = nn.Linear(6, 4), nn.Linear(4, 5)

    def forward(self, x):
        x = self.relu(self.conv(x))  # (N, 6, 6, 6)
        self.windows(x), self.pair(x), self.video(x)
        return self.head(self.hidden(x.mean((2, 3))).tanh())


class Windows(nn.Module):
    """Four windows a picture, stacked along the first dimension, as in some transformers."""

    def forward(self, x):
        return x.flatten(2).mT.reshape(4 * len(x), -1, x.shape[1])


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Video(nn.Module):
    def forward(self, x):
        return x[:, :, None]


def make(network, name):
    torch.manual_seed(3)
    network = network().double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return Target(network, lambda x: (x - 0.5) / 0.25, CLASSES, name)


@pytest.fixture(scope="module")
def conv():
    return make(Network, "conv")


@pytest.fixture(scope="module")
def vit():
    """Four patches and a class token, width 8."""
    sizes = dict(img_size=8, patch_size=4, embed_dim=8, depth=2, num_heads=2, num_classes=5)
    return make(lambda: VisionTransformer(**sizes), "vit")


@pytest.fixture(scope="module")
def swin():
    """Windows of 2 x 2 on a map of 4 x 4 patches, width 8, channels last."""
    sizes = dict(img_size=8, patch_size=2, window_size=2, embed_dim=8, depths=(1,), num_heads=(2,), num_classes=5)
    return make(lambda: SwinTransformer(**sizes), "swin")


def swin_map(target, x):
    return target.model.layers[0](target.model.patch_embed(normal(x)))


def normal(x):
    return (x - 0.5) / 0.25


def conv_map(target, x):
    return target.model.conv(normal(x))


def vit_tokens(target, x):
    """Output of the first block, step by step as timm's forward does."""
    model = target.model
    tokens = torch.cat([model.cls_token.expand(len(x), -1, -1), model.patch_embed(normal(x))], dim=1) + model.pos_embed
    return model.blocks[0](tokens)


# name: (network, objective, its options, values computed directly, description)
CASES = {
    "logit": ("conv", Logit, ["bee"], lambda t, x: t.model(normal(x))[:, [1]], "logit of bee"),
    "logits": ("conv", Logits, [[2, "ant"]], lambda t, x: t.model(normal(x))[:, [2, 0]], "logits of golden .*, ant"),
    "logits-all": ("conv", Logits, ["all"], lambda t, x: t.model(normal(x)), "logits of all classes"),
    "probability": (
        "conv",
        Probability,
        [3],
        lambda t, x: (e := t.model(normal(x)).exp())[:, [3]] / e.sum(1, keepdim=True),
        "probability of crane",
    ),
    "probability-all": (
        "conv",
        Probability,
        ["all"],
        lambda t, x: (e := t.model(normal(x)).exp()) / e.sum(1, keepdim=True),
        "probability of all 5 classes",
    ),
    "margin": (
        "conv",
        Margin,
        ["ant", 4],
        lambda t, x: t.model(normal(x))[:, [0]] - t.model(normal(x))[:, [4]],
        "margin of ant over crane, machine",
    ),
    "neuron-at": (
        "conv",
        Neuron,
        ["conv", 2, [1, 4], "mean"],
        lambda t, x: conv_map(t, x)[:, 2, 1, 4][:, None],
        r"channel 2 of conv, at \[1, 4\]",
    ),
    "neuron-mean": (
        "conv",
        Neuron,
        ["conv", 5, None, "mean"],
        lambda t, x: conv_map(t, x)[:, 5].mean((1, 2))[:, None],
        "channel 5 of conv, mean over space",
    ),
    "neuron-max": (
        "conv",
        Neuron,
        ["conv", 5, None, "max"],
        lambda t, x: conv_map(t, x)[:, 5].amax((1, 2))[:, None],
        "channel 5 of conv, max over space",
    ),
    "neuron-vector": (
        "conv",
        Neuron,
        ["hidden", 3, None, "mean"],
        lambda t, x: t.model.hidden(conv_map(t, x).relu().mean((2, 3)))[:, [3]],
        "channel 3 of hidden, alone",
    ),
    "neuron-token": (
        "vit",
        Neuron,
        ["blocks.0", 6, [0], "mean"],
        lambda t, x: vit_tokens(t, x)[:, 0, [6]],
        r"channel 6 of blocks.0, at \[0\]",
    ),
    "neuron-tokens": (
        "vit",
        Neuron,
        ["blocks.0", 6, None, "max"],
        lambda t, x: vit_tokens(t, x)[:, :, 6].amax(1, keepdim=True),
        "channel 6 of blocks.0, max over space",
    ),
    "features-mean": (
        "conv",
        Features,
        ["conv", "mean"],
        lambda t, x: conv_map(t, x).mean((2, 3)),
        "6 features of conv",
    ),
    "features-max": ("conv", Features, ["conv", "max"], lambda t, x: conv_map(t, x).amax((2, 3)), "6 features of conv"),
    "features-whole": (
        "conv",
        Features,
        ["conv", "none"],
        lambda t, x: conv_map(t, x).permute(0, 2, 3, 1).flatten(1),
        "216 features of conv, whole",
    ),
    "features-tokens": (
        "vit",
        Features,
        ["blocks.0", "mean"],
        lambda t, x: vit_tokens(t, x).mean(1),
        "8 features of blocks.0, mean over space",
    ),
    "features-vector": (
        "conv",
        Features,
        ["head", "mean"],
        lambda t, x: t.model(normal(x)),
        "5 features of head, alone",
    ),
    "neuron-channels-last": (
        "swin",
        Neuron,
        ["layers.0", 5, [1, 2], "mean"],
        lambda t, x: swin_map(t, x)[:, 1, 2, [5]],
        r"channel 5 of layers.0, at \[1, 2\]",
    ),
    "features-norm-of-map": (
        "swin",
        Features,
        ["patch_embed.norm", "mean"],
        lambda t, x: t.model.patch_embed(normal(x)).mean((1, 2)),
        "8 features of patch_embed.norm, mean over space",
    ),
    "features-convolution-before": (
        "swin",
        Features,
        ["patch_embed.proj", "max"],
        lambda t, x: t.model.patch_embed.proj(normal(x)).amax((2, 3)),
        "8 features of patch_embed.proj, max over space",
    ),
}
by_case = pytest.mark.parametrize(("network", "kind", "options", "direct", "description"), CASES.values(), ids=CASES)


@by_case
def test_values_description_and_gradient(network, kind, options, direct, description, request):
    target = request.getfixturevalue(network)
    objective = kind(target, QUERY, *options)
    values = objective(PICTURES)
    expected = direct(target, PICTURES)
    assert values.shape == expected.shape and values.ndim == 2
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(objective(PICTURES[1:2]), expected[1:2])
    assert re.match(description, objective.description), objective.description
    x = PICTURES[:1].clone().requires_grad_()
    direction = torch.randn(values.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    assert torch.autograd.gradcheck(lambda x: objective(x) @ direction, x)
    assert torch.autograd.grad((objective(x) @ direction).sum(), x)[0].norm() > 1e-4
    assert not any(module._forward_hooks for module in target.model.modules())


@pytest.mark.parametrize("width", [8, 1], ids=["sides that tell", "as many channels as rows"])
@pytest.mark.parametrize("layer", ["act", "fc1", "grn", "drop2", ""])
def test_channels_inside_a_perceptron_come_last(width, layer):
    target = make(lambda: nn.Sequential(nn.Conv2d(3, width, 2, 2), ConvNeXtBlock(width, use_grn=True)), "block")
    layer = f"1.mlp.{layer}".rstrip(".")
    values = target.activations(PICTURES, layer)
    assert values.shape[1:3] == (4, 4), "(N, H, W, C)"
    assert torch.equal(Neuron(target, QUERY, layer, 0, [1, 2], "mean")(PICTURES), values[:, 1, 2, :1])


class Rows(nn.Module):
    """(N, C, H, W) -> (N, H, W, C), by a layer whose kind says nothing of it."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def test_equal_sides_of_a_map_tell_its_channels():
    target = make(lambda: nn.Sequential(nn.Conv2d(3, 5, 2, 2), Rows(), nn.Identity()), "rows")
    expected = target.model[0](normal(PICTURES))[:, [3], 1, 2]
    for layer in ("0", "1", "2"):
        torch.testing.assert_close(Neuron(target, QUERY, layer, 3, [1, 2], "mean")(PICTURES), expected)


def test_a_margin_needs_two_classes():
    target = Target(nn.Sequential(nn.Flatten(), nn.Linear(192, 1).double()), lambda x: x, ["only"], "single")
    with pytest.raises(ValueError, match=r"objective\.against=None: must be another class .*; single has no other$"):
        Margin(target, QUERY, None, None)


def test_by_default_the_class_is_that_of_the_query(conv):
    ranking = conv(QUERY)[0].argsort(descending=True).tolist()
    logits = conv(PICTURES)
    assert torch.equal(Logit(conv, QUERY, None)(PICTURES), logits[:, ranking[0], None])
    probability = Probability(conv, QUERY, None)(PICTURES)
    torch.testing.assert_close(probability, logits.softmax(1)[:, ranking[0], None])
    first, second, third = (logits[:, i, None] for i in ranking[:3])
    torch.testing.assert_close(Margin(conv, QUERY, None, None)(PICTURES), first - second)
    torch.testing.assert_close(Margin(conv, QUERY, ranking[1], None)(PICTURES), second - first)
    torch.testing.assert_close(Margin(conv, QUERY, ranking[2], None)(PICTURES), third - first)
    torch.testing.assert_close(Margin(conv, QUERY, None, ranking[2])(PICTURES), first - third)


def test_construction_leaves_no_graph_and_no_mode(conv):
    for kind, options in ((Logit, [None]), (Margin, [None, None]), (Neuron, ["conv", 0, None, "mean"])):
        kind(conv, QUERY.clone().requires_grad_(), *options)
    assert torch.is_grad_enabled() and not conv.model.training


WRONG = {
    "label": (Logit, ["wasp"], "objective.label=wasp: conv has no such class; use one of ant, bee, golden retriever, "),
    "label-index": (Logit, [5], "objective.label=5: must be a whole number at least 0 and at most 4"),
    "label-ambiguous": (
        Probability,
        ["crane"],
        "objective.label=crane: the name is ambiguous, use the index of one of 3 (crane); 4 (crane, machine)",
    ),
    "label-all": (Logit, ["all"], "objective.label=all: conv has no such class; use one of "),
    "labels-word": (Logits, ["ant"], "objective.labels=ant: must be all or a list of classes, such as [cat,dog]"),
    "labels-number": (Logits, [2], "objective.labels=2: must be all or a list of classes, such as [cat,dog]"),
    "labels-empty": (Logits, [[]], "objective.labels=[]: must be all or a list of classes, such as [cat,dog]"),
    "labels-null": (Logits, [None], "objective.labels=None: must be all or a list of classes, such as [cat,dog]"),
    "labels-one-wrong": (Logits, [["ant", "wasp"]], "objective.labels=wasp: conv has no such class; use one of ant, "),
    "against": (Margin, [None, "wasp"], "objective.against=wasp: conv has no such class; use one of ant, "),
    "against-itself": (Margin, ["bee", 1], "objective.against=1: must be another class than objective.label"),
    "layer": (Neuron, ["conf", 0, None, "mean"], "objective.layer=conf: use one of conv, relu, windows, pair, "),
    "layer-empty": (Features, ["", "mean"], "objective.layer=: use one of conv, relu, "),
    "layer-null": (Features, [None, "mean"], "objective.layer=None: use one of conv, relu, "),
    "reduce": (Neuron, ["conv", 0, None, "sum"], "objective.reduce=sum: use one of mean, max"),
    "pool": (Features, ["conv", "sum"], "objective.pool=sum: use one of mean, max, none"),
    "channel": (
        Neuron,
        ["conv", 6, None, "mean"],
        "objective.channel=6: must be a whole number at least 0 and at most 5",
    ),
    "channel-negative": (
        Neuron,
        ["hidden", -1, None, "mean"],
        "objective.channel=-1: must be a whole number at least 0",
    ),
    "channel-null": (Neuron, ["hidden", None, None, "mean"], "objective.channel=None: must be a whole number at least"),
    "position": (
        Neuron,
        ["conv", 0, [0, 6], "mean"],
        "objective.position=6: must be a whole number at least 0 and at most 5",
    ),
    "position-short": (
        Neuron,
        ["conv", 0, [3], "mean"],
        "objective.position=[3]: must be 2 numbers, conv is (6, 6)",
    ),
    "position-number": (Neuron, ["conv", 0, 3, "mean"], "objective.position=3: must be 2 numbers, conv is (6, 6)"),
    "position-of-vector": (
        Neuron,
        ["hidden", 0, [0], "mean"],
        "objective.position=[0]: must be 0 numbers, hidden is ()",
    ),
    "tuple": (
        Features,
        ["pair", "mean"],
        "objective.layer=pair: its output is not a map, a sequence or a vector of numbers",
    ),
    "five-dimensions": (
        Neuron,
        ["video", 0, None, "mean"],
        "objective.layer=video: its output is not a map, a sequence",
    ),
    "windows": (
        Features,
        ["windows", "mean"],
        "objective.layer=windows: its output is not a map, a sequence or a vector",
    ),
}


@pytest.mark.parametrize(("kind", "options", "message"), WRONG.values(), ids=WRONG)
def test_wrong_options(conv, kind, options, message):
    with pytest.raises(ValueError) as error:
        kind(conv, QUERY, *options)
    assert str(error.value).startswith(message)
    assert not any(module._forward_hooks for module in conv.model.modules())


def test_a_token_has_one_place(vit):
    with pytest.raises(ValueError) as error:
        Neuron(vit, QUERY, "blocks.0", 0, [1, 2], "mean")
    assert str(error.value) == "objective.position=[1, 2]: must be 1 numbers, blocks.0 is (5,)"
    with pytest.raises(ValueError, match=r"objective.layer=block\.0: the nearest of \d+ names are blocks\.0"):
        Neuron(vit, QUERY, "block.0", 0, [0], "mean")
