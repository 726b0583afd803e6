"""The velocity network against the published one: names, shapes, values, gradients."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from equidiff_cli.prior.lightningdit import Architecture, LightningDiT
from equidiff_cli.weights.read import load, read

DATA = Path(__file__).parents[1] / "data"
CASES = ["lightningdit_small", "lightningdit_patch2_qknorm"]


@pytest.fixture(params=CASES, scope="module")
def case(request):
    """The network with the weights of a reference file, and the file's other tensors."""
    path = DATA / f"{request.param}.safetensors"
    with safe_open(path, framework="pt") as file:
        options = json.loads(file.metadata()["config"])
    content = read(path, "prior.weights")
    state = {name.removeprefix("model."): content[name] for name in content if name.startswith("model.")}
    return load(lambda: LightningDiT(**options), state, "prior.weights", path), content


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


def test_velocity_equals_the_published_one(case):
    network, values = case
    assert network.num_classes in values["y"]  # the null class is among them
    assert relative(network(values["x"], values["t"], values["y"]), values["velocity"]) < 1e-5


def test_gradient_equals_the_published_one(case):
    network, values = case
    x = values["x"].clone().requires_grad_()
    (network(x, values["t"], values["y"]) * values["probe"]).sum().backward()
    assert relative(x.grad, values["grad_x"]) < 1e-4


def test_one_condition_serves_all_samples(case):
    network, values = case
    x, t, y = values["x"], values["t"][:1], values["y"][:1]
    together = network.velocity(x, network.condition(t, y))
    apart = torch.cat([network(x[i : i + 1], t, y) for i in range(len(x))])
    assert relative(together, apart) < 1e-5


def test_tables_are_the_published_ones(case):
    network, _ = case
    config = {"input_size": network.input_size, "patch_size": network.patch_size, "depth": 1}
    width, heads = network.pos_embed.shape[-1], network.blocks[0].attn.num_heads
    fresh = LightningDiT(**config, in_channels=1, hidden_size=width, num_heads=heads, num_classes=1)
    torch.testing.assert_close(fresh.pos_embed, network.pos_embed, atol=1e-6, rtol=0, check_stride=False)
    torch.testing.assert_close(fresh.feat_rope.freqs_cos, network.feat_rope.freqs_cos, atol=1e-6, rtol=0)
    torch.testing.assert_close(fresh.feat_rope.freqs_sin, network.feat_rope.freqs_sin, atol=1e-6, rtol=0)


def test_the_full_size_network_has_the_published_names_and_shapes():
    published = json.loads((DATA / "lightningdit_xl_1_keys.json").read_text())
    with torch.device("meta"):
        network = LightningDiT()
    state = network.state_dict()
    ours = {name: [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")] for name, tensor in state.items()}
    assert ours == published


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"depth": 0}, "depth=0: must be a whole number at least 1"),
        ({"num_heads": 2.5}, "num_heads=2.5: must be a whole number at least 1"),
        ({"mlp_ratio": "4"}, "mlp_ratio=4: must be a number above 0"),
        ({"use_rope": "yes"}, "use_rope=yes: must be true or false"),
        ({"use_rope": 1}, "use_rope=1: must be true or false"),
        ({"num_classes": True}, "num_classes=True: must be a whole number at least 1"),
        ({"hidden_size": 1160}, "hidden_size=1160: must be a multiple of 4 num_heads=16"),
        ({"patch_size": 3}, "patch_size=3: must divide input_size=16"),
    ],
    ids=str,
)
def test_an_architecture_that_cannot_be_is_refused_by_the_name_of_its_key(option, message):
    with pytest.raises(ValueError) as error:
        Architecture(**option)
    assert str(error.value) == f"prior.architecture.{message}"


def test_the_network_and_its_options_have_the_same_defaults():
    with torch.device("meta"):
        network = LightningDiT(depth=1)
    options = Architecture()
    assert (network.input_size, network.in_channels) == (options.input_size, options.in_channels)
    assert network.pos_embed.shape[-1] == options.hidden_size and network.num_classes == options.num_classes


@pytest.mark.parametrize(
    "options",
    [
        {"use_swiglu": False},
        {"use_rmsnorm": False, "use_qknorm": True},
        {"use_rope": False},
        {"wo_shift": True},
        {"learn_sigma": True},
        {"patch_size": 2},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_option_gives_a_velocity_of_the_shape_of_its_latents(options):
    torch.manual_seed(0)
    network = LightningDiT(
        input_size=4, in_channels=3, hidden_size=16, depth=2, num_heads=2, num_classes=5, **options
    ).eval()
    velocity = network(torch.randn(2, 3, 4, 4), torch.tensor([0.0, 1.0]), torch.tensor([0, 5]))
    assert velocity.shape == (2, 3, 4, 4) and velocity.isfinite().all()
