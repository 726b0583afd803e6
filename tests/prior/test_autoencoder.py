"""The autoencoder against the published one: names, shapes, values."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers import layout

from equidiff_cli.prior import autoencoder
from equidiff_cli.weights import read as weights

DATA = Path(__file__).parents[1] / "data"
REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "vavae_small.safetensors"  # too large for the checkout


class Plain:
    """The autoencoder of LDM written down with its published names; draws the weights that `state` lacks."""

    def __init__(self, state, widths, latent_channels, attention_levels):
        self.state, self.widths, self.latent_channels = state, widths, latent_channels
        self.attention_levels, self.generator = attention_levels, torch.Generator().manual_seed(0)

    def weight(self, name, *shape, mean=0.0, std=0.1):
        if name not in self.state:
            self.state[name] = mean + std * torch.randn(*shape, generator=self.generator, dtype=torch.float64)
        assert self.state[name].shape == shape
        return self.state[name].double()

    def conv(self, name, x, out, kernel=3, stride=1):
        shape = (out, x.shape[1], kernel, kernel)
        weight = self.weight(f"{name}.weight", *shape, std=1 / math.sqrt(math.prod(shape[1:])))
        return F.conv2d(x, weight, self.weight(f"{name}.bias", out), stride, kernel // 2 if stride == 1 else 0)

    def norm(self, name, x):
        channels = x.shape[1]
        scale = self.weight(f"{name}.weight", channels, mean=1.0)
        return F.group_norm(x, 32, scale, self.weight(f"{name}.bias", channels), eps=1e-6)

    def block(self, name, x, out):
        h = self.conv(f"{name}.conv1", F.silu(self.norm(f"{name}.norm1", x)), out)
        h = self.conv(f"{name}.conv2", F.silu(self.norm(f"{name}.norm2", h)), out)
        return h + (x if x.shape[1] == out else self.conv(f"{name}.nin_shortcut", x, out, kernel=1))

    def attention(self, name, x):  # one head
        h, width = self.norm(f"{name}.norm", x), x.shape[1]
        q, k, v = (self.conv(f"{name}.{part}", h, width, kernel=1).flatten(2) for part in "qkv")  # (N, C, T)
        attention = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(width), dim=-1)  # (N, T, T)
        return x + self.conv(f"{name}.proj_out", (v @ attention.transpose(1, 2)).view_as(x), width, kernel=1)

    def middle(self, name, x):
        x = self.attention(f"{name}.attn_1", self.block(f"{name}.block_1", x, x.shape[1]))
        return self.block(f"{name}.block_2", x, x.shape[1])

    def level(self, name, x, level, blocks):
        for j in range(blocks):
            x = self.block(f"{name}.block.{j}", x, self.widths[level])
            if level in self.attention_levels:
                x = self.attention(f"{name}.attn.{j}", x)
        return x

    def encode(self, x):
        x = self.conv("encoder.conv_in", x, self.widths[0])
        for level in range(len(self.widths)):
            x = self.level(f"encoder.down.{level}", x, level, blocks=2)
            if level < len(self.widths) - 1:
                x = F.pad(x, (0, 1, 0, 1))
                x = self.conv(f"encoder.down.{level}.downsample.conv", x, x.shape[1], stride=2)
        x = F.silu(self.norm("encoder.norm_out", self.middle("encoder.mid", x)))
        x = self.conv("encoder.conv_out", x, 2 * self.latent_channels)
        return self.conv("quant_conv", x, x.shape[1], kernel=1).chunk(2, dim=1)

    def decode(self, z):
        z = self.conv("post_quant_conv", z, self.latent_channels, kernel=1)
        x = self.middle("decoder.mid", self.conv("decoder.conv_in", z, self.widths[-1]))
        for level in reversed(range(len(self.widths))):
            x = self.level(f"decoder.up.{level}", x, level, blocks=3)
            if level:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
                x = self.conv(f"decoder.up.{level}.upsample.conv", x, x.shape[1])
        return self.conv("decoder.conv_out", F.silu(self.norm("decoder.norm_out", x)), 3)


def plain_case():
    """Every kind of layer, at a size that runs in a second; the values are those of `Plain`."""
    state, generator = {}, torch.Generator().manual_seed(1)
    plain = Plain(state, widths=(32, 32, 64), latent_channels=4, attention_levels=(1,))
    z = torch.randn(2, 4, 4, 8, generator=generator, dtype=torch.float64)
    image = torch.rand(2, 3, 16, 32, generator=generator, dtype=torch.float64) * 2 - 1
    mean, logvar = plain.encode(image)
    values = {"z": z, "decoded": plain.decode(z), "image": image, "mean": mean, "logvar": logvar}
    return state, {"block_out_channels": (32, 32, 64), "latent_channels": 4, "attention_levels": (1,)}, values


def published_case():
    """The values of the published code, at base width 32."""
    content = weights.read(REFERENCE, "reference")
    values = {name: content.pop(name).double() for name in ("z", "decoded", "image", "mean", "logvar")}
    state = {name.removeprefix("model."): tensor for name, tensor in content.items()}
    return state, {"block_out_channels": (32, 32, 64, 64, 128), "latent_channels": 8}, values


CASES = [plain_case] + [published_case] * REFERENCE.exists()


@pytest.fixture(params=CASES, scope="module")
def case(request):
    return request.param()


def load(state, options, **kwargs):
    state = autoencoder.from_published(state)
    return weights.load(lambda: autoencoder.build(**options), state, "prior.autoencoder", "file", **kwargs)


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


def test_values_equal_the_published_ones(case):
    state, options, values = case
    network = load(state, options, dtype=torch.float64)
    assert relative(network.decode(values["z"]).sample, values["decoded"]) < 1e-5
    code = network.encode(values["image"]).latent_dist
    assert relative(code.mean, values["mean"]) < 1e-5
    assert relative(code.logvar, values["logvar"]) < 1e-5


def test_the_plain_network_of_this_test_equals_the_published_one(case):
    state, options, values = case
    plain = Plain(
        state, options["block_out_channels"], options["latent_channels"], options.get("attention_levels", [4])
    )
    names = set(state)
    assert relative(plain.decode(values["z"]), values["decoded"]) < 1e-5
    for ours, published in zip(plain.encode(values["image"]), (values["mean"], values["logvar"]), strict=True):
        assert relative(ours, published) < 1e-5
    assert set(state) == names  # nothing drawn: these are the names of the file, all of them


def test_float32_is_what_loads_by_default_and_agrees(case):
    state, options, values = case
    network = load(state, options)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert relative(network.decode(values["z"].float()).sample, values["decoded"]) < 3e-5


def published_names():
    shapes = json.loads((DATA / "vavae_f16d32_keys.json").read_text())
    assert len(shapes) == 342
    return {name: torch.empty(shape, device="meta") for name, (shape, _) in shapes.items()}


def test_every_published_name_has_its_place_in_the_full_size_network():
    with torch.device("meta"):
        wanted = {name: tensor.shape for name, tensor in autoencoder.build().state_dict().items()}
    assert {name: t.shape for name, t in autoencoder.from_published(published_names()).items()} == wanted


def test_levels_can_be_given():
    name = "decoder.up.1.block.0.conv1.bias"
    assert list(autoencoder.from_published({name: torch.zeros(1)})) == ["decoder.up_blocks.0.resnets.0.conv1.bias"]
    renamed = autoencoder.from_published({name: torch.zeros(1)}, levels=5)
    assert list(renamed) == ["decoder.up_blocks.3.resnets.0.conv1.bias"]


def test_names_of_build_come_back_unchanged():
    state = autoencoder.from_published(published_names())
    again = autoencoder.from_published(state)
    assert list(again) == list(state) and all(again[name] is state[name] for name in state)


TRAINING = ("loss.logvar", "foundation_model.model.cls_token", "linear_proj.weight")


def test_what_only_training_needs_is_left_out_by_name():
    state, options, _ = plain_case()
    extra = {name: torch.zeros(1) for name in TRAINING}
    load(state | extra, options, ignore=autoencoder.TRAINING_ONLY)
    with pytest.raises(ValueError, match=f"unexpected: {', '.join(TRAINING)}$"):
        load(state | extra, options)
    for name in ("encoder.extra.weight", "model_ema.decay", "lossless"):
        with pytest.raises(ValueError, match=f"^prior.autoencoder=file: does not fit, unexpected: {name}$"):
            load(state | {name: torch.zeros(1)}, options, ignore=autoencoder.TRAINING_ONLY)


def test_attention_kernels_must_be_1x1():
    state, options, _ = plain_case()
    name = "decoder.mid.attn_1.q.weight"
    with pytest.raises(ValueError, match=r"wrong: decoder.mid_block.attentions.0.to_q.weight is \(64, 64, 3, 3\)"):
        load(state | {name: state[name].expand(64, 64, 3, 3)}, options)


def test_older_names_of_diffusers_are_those_of_today():
    options = layout.SMALL["autoencoder"]
    older = layout.diffusers_vae(**options)
    assert any(".query." in name for name in older) and any(".proj_attn." in name for name in older)
    assert autoencoder.from_published(older).keys() == autoencoder.build(**options).state_dict().keys()
