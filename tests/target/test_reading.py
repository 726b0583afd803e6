"""Layers against hooks set here by hand: which axis holds the channels, which the samples, which call, which tokens."""

import pytest
import timm
import torch
from timm.layers import LayerNorm2d
from timm.models.convnext import ConvNeXtBlock
from torch import nn
from torchvision.models import VisionTransformer

from equidiff_cli.parts.objectives import Features, Neuron
from equidiff_cli.target.reading import Reading
from equidiff_cli.target.target import Target

QUERY = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
PICTURES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))
AUTO = dict(channels="auto", call=None)


class Net(nn.Module):
    """Parts by name, and a forward pass of them."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.way = forward

    def forward(self, x):
        return self.way(self, x)


class Last(nn.Module):
    """A block that works on (N, H, W, C) inside and gives (N, C, H, W)."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.fc(self.norm(x.permute(0, 2, 3, 1))).relu().permute(0, 3, 1, 2)


def target(network):
    torch.manual_seed(3)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return Target(network, nn.Identity(), ["a", "b", "c"], "net")


def seen(target, layer, x=PICTURES):
    """What a layer gives the last time that it is called."""
    kept = []
    module = target.model.get_submodule(layer)
    hook = module.register_forward_hook(lambda _module, _input, output: kept.append(output))
    target(x.clone().requires_grad_())
    hook.remove()
    value = kept[-1]
    return (value[0] if isinstance(value, tuple) else value).detach()


def rows():
    """Rows of a picture as a sequence, (N, C, L) throughout."""
    parts = dict(conv=nn.Conv1d(3, 20, 5), norm=nn.BatchNorm1d(20), act=nn.ReLU(), pool=nn.AvgPool1d(2))
    return Net(lambda n, x: n.pool(n.act(n.norm(n.conv(x.flatten(2))))).mean(2)[:, :3], **parts)


def wide():
    """Maps with twenty rows and seven columns, of seven channels: sides that would tell the wrong axis."""
    parts = dict(conv=nn.Conv2d(3, 7, 1), act=nn.GELU(), block=Last(7), group=nn.GroupNorm(1, 7))
    parts["both"] = nn.Sequential(nn.Conv2d(7, 7, 1), nn.ReLU())

    def forward(n, x):
        x = nn.functional.interpolate(x, size=(20, 7), mode="bilinear")
        return n.both(n.group(n.block(n.act(n.conv(x))))).mean((2, 3))[:, :3]

    return Net(forward, **parts)


def last():
    """The same channels last: (N, 20, 7, 7)."""
    parts = dict(fc=nn.Linear(3, 7), act=nn.GELU(), norm=nn.LayerNorm(7), two=nn.Sequential(nn.Linear(7, 7), nn.Tanh()))

    def forward(n, x):
        x = nn.functional.interpolate(x, size=(20, 7), mode="bilinear").permute(0, 2, 3, 1)
        return n.two(n.norm(n.act(n.fc(x)))).mean((1, 2))[:, :3]

    return Net(forward, **parts)


FIRST = {rows: ("conv", "norm", "act", "pool"), wide: ("conv", "act", "block", "group", "both")}
CASES = [(made, layer, 1) for made, names in FIRST.items() for layer in names]
CASES += [(last, layer, -1) for layer in ("fc", "act", "norm", "two")] + [(wide, "block.fc", -1)]


@pytest.mark.parametrize(("made", "layer", "axis"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_the_layer_tells_where_its_channels_are(made, layer, axis):
    net = target(made())
    values = seen(net, layer).movedim(axis, -1)
    reading = Reading(net, QUERY, layer, **AUTO)
    assert reading.channels == values.shape[-1] and reading.note == f", channels {'first' if axis == 1 else 'last'}"
    torch.testing.assert_close(reading(PICTURES), values)
    with pytest.raises(ValueError, match=f"channel={values.shape[-1]}: must be .* at most {values.shape[-1] - 1}$"):
        Neuron(net, QUERY, layer, values.shape[-1], None, "mean")


def test_convolutional_and_windowed_networks_with_maps_as_high_as_they_have_channels():
    """Swin has (N, H, W, C); ConvNeXt has it inside its blocks only."""
    sizes = dict(img_size=16, window_size=2, embed_dim=4, depths=(1, 1), num_heads=(1, 1))
    swin = timm.create_model("swin_tiny_patch4_window7_224", **sizes)
    convnext = nn.Sequential(nn.Conv2d(3, 4, 4, 4), ConvNeXtBlock(4), LayerNorm2d(4))
    for model, layers in (
        (swin, {"layers.0": -1, "layers.0.blocks.0": -1, "layers.0.blocks.0.mlp": -1, "patch_embed": -1}),
        (convnext, {"0": 1, "1": 1, "1.norm": -1, "1.mlp": -1, "2": 1}),
    ):
        net = target(model)
        for layer, axis in layers.items():
            reading = Reading(net, QUERY, layer, **AUTO)
            assert reading.axis == axis, layer
            torch.testing.assert_close(reading(PICTURES), seen(net, layer).movedim(axis, -1))


class Opaque(torch.autograd.Function):
    """Nothing is known of what it does."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad


def hidden(size):
    parts = dict(conv=nn.Conv2d(3, 6, 1), mine=Net(lambda n, x: Opaque.apply(x)))

    def forward(n, x):
        return n.mine(n.conv(nn.functional.interpolate(x, size=size))).mean((2, 3))[:, :3]

    return target(Net(forward, **parts))


def test_where_nothing_tells_the_axis_an_option_does():
    net = hidden((4, 5))
    with pytest.raises(ValueError) as error:
        Features(net, QUERY, "mine", "mean")
    assert str(error.value) == (
        "objective.channels=auto: nothing tells which axis of mine, (N, 6, 4, 5), holds the channels;"
        " objective.channels=first or last says it"
    )
    values = seen(net, "mine")
    for channels, axis, size in (("first", 1, 6), ("last", 3, 5)):
        features = Features(net, QUERY, "mine", "mean", channels=channels)
        assert features.description == f"{size} features of mine, mean over space, channels {channels}"
        torch.testing.assert_close(features(PICTURES), values.movedim(axis, -1).flatten(1, 2).mean(1))
    square = Features(hidden((4, 4)), QUERY, "mine", "mean")
    assert square.description == "6 features of mine, mean over space, channels first by its shape"
    with pytest.raises(ValueError, match=r"objective\.channels=1: use one of auto, first, last"):
        Features(net, QUERY, "mine", "mean", channels=1)


def tokens_first(side):
    """(L, N, D), as in torch's transformers by default; one token a picture where `side` is that of a picture."""
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 1, enable_nested_tensor=False)
    parts = dict(patch=nn.Conv2d(3, 8, side, side), block=nn.Linear(8, 8), enc=encoder)

    def forward(n, x):
        return n.enc(n.block(n.patch(x).flatten(2).permute(2, 0, 1))).mean(0)[:, :3]

    return target(Net(forward, **parts))


@pytest.mark.parametrize("side", [4, 16])
@pytest.mark.parametrize("layer", ["block", "enc", "enc.layers.0", "enc.layers.0.self_attn", "enc.layers.0.linear1"])
def test_samples_may_be_on_another_axis(side, layer):
    net = tokens_first(side)
    values = seen(net, layer)
    torch.testing.assert_close(Features(net, QUERY, layer, "mean")(PICTURES), values.mean(0))
    torch.testing.assert_close(Neuron(net, QUERY, layer, [5, 2], [0], "mean")(PICTURES), values[0][:, [5, 2]])


def test_layers_that_torch_would_skip_where_there_is_no_gradient():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    parts = dict(patch=nn.Conv2d(3, 8, 4, 4), enc=nn.TransformerEncoder(layer, 1))
    net = target(Net(lambda n, x: n.enc(n.patch(x).flatten(2).mT).mean(1)[:, :3], **parts))
    before = torch.backends.mha.get_fastpath_enabled()
    for name in ("enc.layers.0.linear2", "enc.layers.0.norm1", "enc.layers.0"):
        with torch.no_grad():
            values = Features(net, QUERY, name, "max")(PICTURES)
        torch.testing.assert_close(values, seen(net, name).amax(1))
    assert torch.backends.mha.get_fastpath_enabled() == before
    with pytest.raises(ValueError, match="net computes with the weights of this layer without calling it"):
        Features(net, QUERY, "enc.layers.0.self_attn.out_proj", "mean")


def test_of_a_layer_that_is_called_twice_one_call_is_chosen():
    parts = dict(one=nn.Conv2d(3, 4, 1), two=nn.Conv2d(4, 4, 1), act=nn.ReLU(inplace=True))
    net = target(Net(lambda n, x: n.act(n.two(n.act(n.one(x)))).mean((2, 3))[:, :3], **parts))
    first = net.model.one(PICTURES).relu()
    second = net.model.two(first).relu()
    with pytest.raises(ValueError) as error:
        Neuron(net, QUERY, "act", 1, None, "mean", call=None)
    assert str(error.value) == (
        "objective.layer=act: net calls this layer 2 times in a forward pass; objective.call=0 to 1 says which of them"
        " is meant, -1 the last"
    )
    for call, values in ((0, first), (1, second), (-1, second), (-2, first)):
        neuron = Neuron(net, QUERY, "act", 1, None, "mean", call=call)
        assert f"channel 1 of act (call {call % 2} of 0 to 1), mean over space" in neuron.description
        torch.testing.assert_close(neuron(PICTURES), values[:, [1]].mean((2, 3)))
    for call in (2, -3, "last", 0.5, True):
        with pytest.raises(
            ValueError, match=rf"objective\.call={call}: must be a whole number at least -2 and at most 1"
        ):
            Neuron(net, QUERY, "act", 1, None, "mean", call=call)
    assert "call" not in Neuron(net, QUERY, "one", 1, None, "mean", call=None).description


def test_several_channels():
    net = target(wide())
    values = seen(net, "conv")
    neuron = Neuron(net, QUERY, "conv", [1, 6, 2], None, "max")
    assert neuron.description == "channels 1, 6, 2 of conv, max over space, channels first"
    torch.testing.assert_close(neuron(PICTURES), values[:, [1, 6, 2]].amax((2, 3)))
    torch.testing.assert_close(Neuron(net, QUERY, "conv", [3], [19, 6], "max")(PICTURES), values[:, [3], 19, 6])
    for channel in ([], [1, 1], "12", [1, 7], [[1]], [1.0], {}):
        with pytest.raises(ValueError, match=r"^objective\.channel=.*: must be a (whole )?number") as error:
            Neuron(net, QUERY, "conv", channel, None, "mean")
        assert "\n" not in str(error.value)


VIT = dict(img_size=16, patch_size=4, embed_dim=8, depth=1, num_heads=2, num_classes=3)


@pytest.mark.parametrize(
    ("made", "layer", "first"),
    [
        (lambda: timm.models.VisionTransformer(**VIT), "norm", 1),
        (lambda: timm.models.VisionTransformer(**VIT, reg_tokens=4, dynamic_img_size=True), "blocks.0", 5),
        (lambda: nn.Sequential(timm.models.VisionTransformer(**VIT, reg_tokens=2)), "0.blocks.0.mlp", 3),
        (lambda: timm.models.VisionTransformer(**VIT, reg_tokens=4), "patch_embed", 0),
        (lambda: timm.models.VisionTransformer(**VIT, class_token=False, global_pool="avg"), "norm", 0),
        (lambda: VisionTransformer(16, 4, 1, 2, 8, 16, num_classes=3), "encoder.layers.encoder_layer_0", 1),
        (lambda: VisionTransformer(16, 4, 1, 2, 8, 16, num_classes=3), "encoder.ln", 1),
    ],
)
def test_the_mean_leaves_class_and_register_tokens_out(made, layer, first):
    net = target(made())
    values = seen(net, layer)
    features = Features(net, QUERY, layer, "mean", prefix="auto")
    torch.testing.assert_close(features(PICTURES), values[:, first:].mean(1))
    said = f"mean over space without the first {first} of {16 + first} tokens" if first else "mean over space"
    assert features.description == f"8 features of {layer}, {said}, channels last"
    neuron = Neuron(net, QUERY, layer, 2, None, "max", prefix="auto")
    torch.testing.assert_close(neuron(PICTURES), values[:, first:, [2]].amax(1))
    whole = Features(net, QUERY, layer, "mean", prefix=0)
    torch.testing.assert_close(whole(PICTURES), values.mean(1))
    assert ("class or register token" in whole.description) == bool(first)
    torch.testing.assert_close(Neuron(net, QUERY, layer, 2, [0], "mean", prefix="auto")(PICTURES), values[:, 0, [2]])


def test_where_tokens_are_not_clear_their_number_is_asked_for():
    model = timm.models.VisionTransformer(**VIT | dict(img_size=(8, 16), dynamic_img_size=True))
    net = target(model)  # of a picture it makes 16 patches, not 8
    assert "without the first 1 of 17 tokens" in Features(net, QUERY, "norm", "mean", prefix="auto").description
    wide = Target(model, lambda x: x[..., :12, :8], ["a", "b", "c"], "net")  # 6 patches, and neither 6 nor 7 is square
    with pytest.raises(
        ValueError, match=r"^objective\.prefix=auto: net has 1 class and register tokens, but .* 7 of norm"
    ):
        Features(wide, QUERY, "norm", "mean", prefix="auto")
    torch.testing.assert_close(
        Features(wide, QUERY, "norm", "mean", prefix=1)(PICTURES), seen(wide, "norm")[:, 1:].mean(1)
    )
    for prefix in (7, -1, None, "all"):
        with pytest.raises(
            ValueError, match=rf"^objective\.prefix={prefix}: must be a whole number at least 0 and at m"
        ):
            Features(wide, QUERY, "norm", "mean", prefix=prefix)
    with pytest.raises(ValueError, match=r"^objective\.prefix=1: must be a whole number at least 0 and at most 0"):
        Features(wide, QUERY, "patch_embed.proj", "mean", prefix=1)


def test_attention_weights_without_changing_the_network():
    torch.manual_seed(0)
    net = target(timm.models.VisionTransformer(**VIT | dict(num_classes=3, depth=2)))
    net.model.blocks[0].attn.fused_attn = net.model.blocks[1].attn.fused_attn = (
        True  # as it is where nothing forbids it
    )
    attention, layer = net.model.blocks[0].attn, "blocks.0.attn.attn_drop"
    kept = []
    hook = net.model.blocks[0].norm1.register_forward_hook(lambda _module, _input, output: kept.append(output))
    net(PICTURES)
    hook.remove()
    q, k, _ = attention.qkv(kept[0]).reshape(3, 17, 3, 2, 4).permute(2, 0, 3, 1, 4)
    weights = (q @ k.mT / 2).softmax(-1)  # (N, heads, from, to)
    values = Neuron(net, QUERY, layer, [1], [0, 5], "mean")(PICTURES)
    torch.testing.assert_close(values, weights[:, [1], 0, 5])
    torch.testing.assert_close(Features(net, QUERY, layer, "max")(PICTURES), weights.amax((2, 3)))
    torch.testing.assert_close(Features(net, QUERY, layer, "none")(PICTURES), weights.permute(0, 2, 3, 1).flatten(1))
    x = PICTURES.clone().requires_grad_()
    assert torch.autograd.grad(Neuron(net, QUERY, layer, 1, [0, 5], "mean")(x).sum(), x)[0].norm() > 0
    assert attention.fused_attn is True and net.model.blocks[1].attn.fused_attn is True
    for made in (
        lambda: Features(net, QUERY, layer, "mean"),
        lambda: Neuron(net, QUERY, layer, 1, None, "mean"),
    ):
        with pytest.raises(
            ValueError, match=r"=mean: blocks.0.attn.attn_drop gives attention weights, whose mean is 1 / 17"
        ):
            made()


def test_what_cannot_be_read_is_one_line():
    parts = dict(
        gru=nn.GRU(8, 4, batch_first=True), pair=Net(lambda n, x: {"a": x, "b": x}), patch=nn.Conv2d(3, 8, 4, 4)
    )
    parts["index"] = Net(lambda n, x: x.argmax(1))

    def forward(n, x):
        x = n.pair(n.patch(x))["a"]
        n.index(x)
        return n.gru(x.flatten(2).mT)[0].mean(1)[:, :3]

    net = target(Net(forward, **parts))
    begin = "its output is not a map, a sequence or a vector of numbers; it gives "
    for layer, gives in {
        "gru": "a tuple of (1, 16, 4), (1, 1, 4)",
        "pair": "a dict with a, b",
        "index": "int64 (1, 4, 4)",
    }.items():
        with pytest.raises(ValueError) as error:
            Features(net, QUERY, layer, "mean")
        assert str(error.value) == f"objective.layer={layer}: {begin}{gives}"


def test_layers_of_compiled_networks_are_read_and_those_of_scripted_ones_refused():
    whole = torch.compile(target(wide()).model, backend="eager")
    inside = target(wide()).model
    inside.block = torch.compile(inside.block, backend="eager")
    itself = target(wide()).model
    itself.compile(backend="eager")
    expected = seen(target(wide()), "block").mean((2, 3))
    for model in (whole, inside, itself):
        with torch.no_grad():
            model(PICTURES)  # compiled before there are hooks
        net = Target(model, nn.Identity(), ["a", "b", "c"], "net")
        assert net.layers == target(wide()).layers
        torch.testing.assert_close(Features(net, QUERY, "block", "mean")(PICTURES), expected)
        torch.testing.assert_close(
            Features(net, QUERY, "block.fc", "mean")(PICTURES), seen(target(wide()), "block.fc").mean((1, 2))
        )
