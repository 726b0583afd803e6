"""The target: the measuring path against timm's own, layers, class names, and what is refused."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config
from torch import nn

from equidiff_cli.circles.build import CirclesTarget
from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.target.adopt import built
from equidiff_cli.target.small import CIFAR10, MEAN, STD, Embedded, embedded
from equidiff_cli.target.target import Target, TargetSource, top_class
from equidiff_cli.target.timm_models import TimmModel
from equidiff_cli.weights.hub import Source

NEAREST = {"golden_retreiver": "names are golden retriever, ", "GOLDFICH": "goldfish"}
TIMM = "test_resnet.r160_in1k"  # 0.5 M parameters


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with (random) weights for `TIMM`."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model(TIMM, pretrained=False).state_dict(), path)
    return path


def timm_model(name, weights, num_classes=None, **options):
    return TimmModel(name=name, weights=weights, num_classes=num_classes, **options).build()


@pytest.fixture(scope="module")
def small():
    return embedded("smallconv")


@pytest.fixture(scope="module")
def imagenet(weights):
    return timm_model(TIMM, str(weights), classes="imagenet")


class Odd(nn.Module):
    """A linear network with layers of every odd kind."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)
        self.unused, self.pair, self.shared = nn.Identity(), Pair(), nn.Tanh()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x, _ = self.pair(self.relu(self.conv(x)))
        return self.head(self.shared(self.shared(x.mean((2, 3)))))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.fixture
def odd():
    torch.manual_seed(1)
    return Target(Odd(), lambda x: 2 * x - 1, ["a", "b", "c"], "odd")


def hooks(target):
    return sum(len(module._forward_hooks) for module in target.model.modules())


def middling(side):
    """Waves and noise between 67 and 188, so that no interpolation leaves the range of 8 bits."""
    y, x = np.mgrid[0:side, 0:side] / side
    waves = np.stack([np.sin(2 * np.pi * (k * x + (3 - k) * y) + k) for k in range(3)], axis=2)
    noise = np.random.default_rng(0).uniform(-30, 30, waves.shape)
    return Image.fromarray((127.5 + 30 * waves + noise).round().astype(np.uint8))


@pytest.mark.parametrize("which", ["small", "imagenet"])
@pytest.mark.parametrize("side", [32, 160, 224])
def test_measuring_path_is_the_published_transform(which, side, request):
    target = request.getfixturevalue(which)
    if which == "small":
        native, std = 32, STD
        published = create_transform((3, 32, 32), mean=MEAN, std=std, crop_pct=1, interpolation="bicubic")
    else:
        config = resolve_model_data_config(timm.create_model(TIMM, pretrained=False))
        published, native, std = create_transform(**config), config["input_size"][1], config["std"]
    picture = middling(side)
    ours, theirs = target.transform(to_tensor(picture)[None])[0], published(picture)
    assert ours.shape == theirs.shape == (3, native, native)
    levels = (ours - theirs) * torch.tensor(std)[:, None, None] * 255
    assert levels.abs().max() < 1.6, "more than the rounding of the two passes of an 8-bit resize"
    if (which, side) == ("small", 32):
        assert levels.abs().max() < 1e-3, "at its native size nothing is resized"
    with torch.no_grad():
        assert torch.allclose(target(to_tensor(picture)[None]), target.model(ours[None]))


@pytest.mark.parametrize("which", ["small", "imagenet"])
def test_measuring_path_has_gradients_everywhere_that_is_not_cropped(which, request):
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = request.getfixturevalue(which)
    grad = torch.autograd.grad(target(x)[:, 0].sum(), x)[0]
    assert grad.isfinite().all() and (grad[..., 2:-2, 2:-2] != 0).float().mean() > 0.99


def test_the_network_is_frozen(small, imagenet):
    for target in (small, imagenet):
        assert not any(p.requires_grad for p in target.model.parameters())
        assert not any(module.training for module in target.model.modules())


@pytest.mark.parametrize("name", ["conv", "relu", "head"])
def test_activations_are_those_of_the_layer(odd, name):
    x = torch.rand(2, 3, 6, 6)
    value = odd.model.conv(2 * x - 1)
    value = value if name == "conv" else value.relu()  # the ReLU after the convolution works in place
    if name == "head":
        value = odd.model.head(value.mean((2, 3)).tanh().tanh())
    assert (odd.activations(x, "conv") < 0).any()
    torch.testing.assert_close(odd.activations(x, name), value)


def test_activations_of_odd_layers(odd):
    x = torch.rand(2, 3, 6, 6)
    torch.testing.assert_close(odd.activations(x, "shared"), odd.model.conv(2 * x - 1).relu().mean((2, 3)).tanh())
    assert isinstance(odd.activations(x, "pair"), tuple)
    with pytest.raises(ValueError) as error:
        odd.activations(x, "unused")
    assert str(error.value) == "objective.layer=unused: odd does not use this layer in its forward pass"
    assert hooks(odd) == 0


def test_hooks_are_removed_after_an_error(odd):
    odd.activations(torch.rand(1, 3, 6, 6), "conv")
    assert hooks(odd) == 0
    with pytest.raises(RuntimeError):
        odd.activations(torch.rand(1, 2, 6, 6), "conv")
    with pytest.raises(RuntimeError):
        odd.activations(torch.rand(1, 3, 2, 2), "head")
    assert hooks(odd) == 0


def test_layers_are_all_names_that_activations_accepts(small):
    assert small.layers[0] == "conv1" and "layer3.0.conv2" in small.layers and "" not in small.layers
    for layer in small.layers:
        assert small.activations(torch.rand(1, 3, 32, 32), layer).shape[0] == 1


@pytest.mark.parametrize("label", [3, "3", "cat", "Cat", " CAT "])
def test_classes_by_index_and_name(small, label):
    assert small.class_index("key", label) == 3
    assert small.classes == CIFAR10


@pytest.mark.parametrize("label", ["Golden_Retriever", "golden-retriever", "golden retriever", "207", 207])
def test_case_underscores_and_hyphens_do_not_matter(imagenet, label):
    assert imagenet.class_index("key", label) == 207


@pytest.mark.parametrize(
    ("label", "index"),
    [("Tinca_tinca", 0), ("tank suit", 639), ("Cardigan Welsh corgi", 264), ("hen-of-the-woods", 996)],
)
def test_every_name_of_a_class_counts_but_whole(imagenet, label, index):
    assert imagenet.class_index("key", label) == index


@pytest.mark.parametrize(
    ("label", "which"),
    [
        ("crane", "134 (crane); 517 (crane)"),
        ("Maillot", "638 (maillot); 639 (maillot, tank suit)"),
        ("cardigan", "264 (Cardigan, Cardigan Welsh corgi); 474 (cardigan)"),
    ],
)
def test_ambiguous_names_say_between_which(imagenet, label, which):
    with pytest.raises(ValueError) as error:
        imagenet.class_index("objective.label", label)
    message = f"objective.label={label}: the name is ambiguous, use the index of one of {which}"
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("which", "label", "message"),
    [
        ("small", "cow", "smallconv has no such class; use one of airplane, automobile, bird, cat,"),
        ("small", "auto", "smallconv has no such class; use one of automobile"),
        ("small", 10, "must be a whole number at least 0 and at most 9"),
        ("small", "10", "must be a whole number at least 0 and at most 9"),
        ("small", -1, "must be a whole number at least 0 and at most 9"),
        ("small", True, "smallconv has no such class; use one of"),
        ("small", 1.5, "smallconv has no such class; use one of"),
        ("small", "²", "smallconv has no such class; use one of"),
        ("imagenet", "golden_retreiver", f"{TIMM} has no such class; the nearest of "),
        ("imagenet", "GOLDFICH", f"{TIMM} has no such class; the nearest of "),
        (
            "imagenet",
            "retriever",
            f"{TIMM} has no such class; use one of flat-coated retriever, curly-coated retriever,",
        ),
    ],
)
def test_unknown_classes(which, label, message, request):
    with pytest.raises(ValueError) as error:
        request.getfixturevalue(which).class_index("objective.label", label)
    assert str(error.value).startswith(f"objective.label={label}: {message}")
    assert NEAREST.get(label, "") in str(error.value)


def test_top_class(odd):
    x = torch.rand(1, 3, 6, 6)
    assert top_class(odd, x) == odd(x)[0].tolist().index(odd(x).max().item())


def test_timm_models_have_their_names_and_files(imagenet, weights):
    assert imagenet.classes[0] == "tench, Tinca tinca" and len(imagenet.classes) == 1000
    assert imagenet.files == [weights] and imagenet.name == TIMM
    model = timm.create_model(TIMM, pretrained=False)
    assert imagenet.model.state_dict().keys() == model.state_dict().keys()


def test_weights_of_torch_save_give_the_same_network(imagenet, tmp_path):
    torch.save({"state_dict": imagenet.model.state_dict()}, tmp_path / "model.pth")
    x = torch.rand(1, 3, 160, 160)
    assert torch.equal(timm_model(TIMM, str(tmp_path / "model.pth"))(x), imagenet(x))


def test_wrong_models_and_weights(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file({"fc.weight": torch.zeros(1000)}, "other.safetensors")
    save_file({"a.b": torch.zeros(1)}, "foreign.safetensors")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04")
    wrong = {
        ("resnet5O", None): r"target.name=resnet5O: timm has no such model; the nearest of \d+ names are .*resnet50",
        ("ResNet50", None): r"target.name=ResNet50: timm has no such model; the nearest of \d+ names are resnet50,",
        ("resnet50.foo", None): r"target.name=resnet50.foo: timm has no such model; the nearest of .*resnet50\.",
        ("@@", None): r"target.name=@@: timm has no such model; none of \d+ names is near",
        (TIMM, "no.pth"): r"target.weights=no.pth: no such file; give a .pth or .safetensors file",
        (TIMM, "."): r"target.weights=.: no such file",
        (TIMM, "cut.pth"): r"target.weights=cut.pth: .*accepted: a .safetensors file, or a .pt, .pth",
        (TIMM, "other.safetensors"): r"other.safetensors: does not fit, missing: conv1.0.* wrong: fc.weight is",
        (TIMM, "foreign.safetensors"): r"foreign.safetensors: does not fit, missing: conv1.0.*; unexpected: a.b$",
        ("resnet18", str(weights)): r"target.weights=.*: does not fit, missing: conv1.weight, layer1.1.*wrong: bn1",
    }
    for (name, file), message in wrong.items():
        with pytest.raises(ValueError, match=message) as error:
            timm_model(name, file)
        assert "\n" not in str(error.value) and len(str(error.value)) < 800


@pytest.mark.parametrize("make", [embedded, lambda name: Embedded(name=name)])
def test_unknown_embedded_classifier(make):
    with pytest.raises(ValueError) as error:
        make("resnet50")
    assert str(error.value) == "target.name=resnet50: use one of smallconv, smallresnet"


class Own:
    """A light object of one's own."""

    def build(self):
        return torch.nn.Linear(2, 3)


class Like:
    """A network of one's own that is no module, with a method that has nothing to do with it."""

    def __call__(self, x):
        return x

    def build(self):
        raise AssertionError


def test_light_objects_are_built_and_networks_stay_as_they_are(odd, weights):
    lights = [Embedded(name="smallconv"), CirclesTarget(), TimmModel(name=TIMM, weights=str(weights), num_classes=None)]
    for light in lights:
        assert isinstance(light, TargetSource)
        assert [type(source) for source in light.sources()] == [Source] * isinstance(light, TimmModel)
        assert isinstance(built(light), Target)
    assert isinstance(built(Own()), torch.nn.Linear)
    for network in (odd, odd.model, Like(), "text"):
        assert built(network) is network
