"""A timm model with weights of one's own: its names, its preprocessing, and no tensor that was made to fit."""

import argparse
import re

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import create_transform

from equidiff_cli.target.timm_models import TimmModel

CONV, VIT = "test_resnet.r160_in1k", "test_vit.r160_in1k"  # 0.5 and 0.4 M parameters
X = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
NAMES = ["a", "b", "c", "d", "e"]


def source(name, weights, num_classes=None, **options):
    return TimmModel(name=name, weights=None if weights is None else str(weights), num_classes=num_classes, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of weights: `five` classes, one channel (`grey`), a ViT at 96 pixels (`small`)."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("weights")
    for file, name, options in (
        ("five", CONV, dict(num_classes=5)),
        ("thousand", CONV, dict()),
        ("grey", CONV, dict(num_classes=5, in_chans=1)),
        ("four", CONV, dict(num_classes=5, in_chans=4)),
        ("small", VIT, dict(num_classes=5, img_size=96)),
    ):
        save_file(timm.create_model(name, **options).state_dict(), place / f"{file}.safetensors")
    return place


@pytest.fixture(scope="module")
def file(folder):
    return lambda name: folder / f"{name}.safetensors"


def test_everything_that_is_said_of_ones_own_weights_is_used(file, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    options = dict(mean=[0.1, 0.2, 0.3], std=0.5, crop_pct=0.8, input_size=[3, 64, 48], interpolation="bilinear")
    target = source(CONV, file("five"), classes=str(tmp_path / "names.txt"), **options).build()
    model = timm.create_model(CONV, num_classes=5).eval()
    model.load_state_dict(target.model.state_dict())
    wanted = create_transform((3, 64, 48), mean=(0.1, 0.2, 0.3), std=(0.5,) * 3, crop_pct=0.8, interpolation="bilinear")
    torch.testing.assert_close(target(X), model(wanted(X)))
    assert target.classes == tuple(NAMES) and target.class_index("k", "d") == 3
    assert target.files == [file("five"), tmp_path / "names.txt"]
    assert target.uses == {
        "input_size": "[3, 64, 48]",
        "interpolation": "bilinear",
        "crop_pct": 0.8,
        "mean": "[0.1, 0.2, 0.3]",
        "std": "[0.5, 0.5, 0.5]",
        "classes": str(tmp_path / "names.txt"),
    }


def test_without_more_words_the_published_preprocessing_is_used_and_said(file):
    target = source(CONV, file("five"), 5).build()
    published = timm.models.get_pretrained_cfg(CONV)
    assert target.uses["mean"] == f"[{', '.join(f'{one:.4g}' for one in published.mean)}]"
    assert target.uses["input_size"] == "[3, 160, 160]" and target.uses["classes"] == "by index"


def test_names_say_how_many_classes_there_are(file):
    assert source(CONV, file("five"), classes={"b": 1, "a": 0, "d": 3, "c": 2, "e": 4}).build().classes == tuple(NAMES)


def test_a_thousand_outputs_of_ones_own_are_not_imagenets(file):
    target = source(CONV, file("thousand"), 1000).build()
    assert target.classes == tuple(str(i) for i in range(1000)) and target.class_index("k", 207) == 207
    with pytest.raises(
        ValueError, match=r"^k=golden_retriever: the classes of test_resnet.* have no names; .*classes="
    ):
        target.class_index("k", "golden_retriever")
    asked = source(CONV, file("thousand"), classes="imagenet").build()
    assert asked.class_index("k", "golden_retriever") == 207 and asked.uses["classes"] == "ImageNet, as asked"
    with pytest.raises(ValueError, match=r"target.classes=imagenet: ImageNet has 1000 classes, .* gives 5"):
        source(CONV, file("five"), 5, classes="imagenet").build()


def test_a_network_of_one_channel_is_given_the_luminance(file):
    target = source(CONV, file("grey"), 5, input_size=[1, 40, 40], mean=0.4, std=[0.2], crop_pct=1.0).build()
    grey = (X * torch.tensor([0.2989, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    torch.testing.assert_close(target(X), target.model((grey - 0.4) / 0.2))
    assert target.uses["input_size"] == "[1, 40, 40]"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (lambda good, bad: {"state_dict": bad, "state_dict_ema": good, "args": argparse.Namespace()}, "state_dict_ema"),
        (lambda good, bad: {f"model.{name}": tensor for name, tensor in good.items()}, "names without model."),
        (lambda good, bad: {f"_orig_mod.module.{name}": tensor for name, tensor in good.items()}, None),
    ],
)
def test_weights_of_training_programs(content, field, tmp_path):
    torch.manual_seed(0)
    model = timm.create_model(CONV, num_classes=5).eval()
    good = model.state_dict()
    bad = {name: torch.zeros_like(tensor) for name, tensor in good.items()}
    torch.save(content(good, bad), tmp_path / "file.pth")
    target = source(CONV, tmp_path / "file.pth", 5).build()
    torch.testing.assert_close(target.model(X), model(X))
    assert target.uses.get("weights") == field


def test_the_size_that_a_transformer_was_trained_at_is_offered_and_taken(file):
    with pytest.raises(ValueError) as error:
        source(VIT, file("small"), 5).build()
    found = re.search(r"target.weights=.*small.safetensors: pos_embed is (.*) float32, in the model (.*) float32; .*"
                      r" give target.input_size=96$", str(error.value))  # fmt: skip
    assert found[1] != found[2]
    target = source(VIT, file("small"), 5, input_size=96).build()
    model = timm.create_model(VIT, num_classes=5, img_size=96).eval()
    model.load_state_dict(target.model.state_dict())
    x = torch.rand(1, 3, 96, 96)
    assert torch.equal(target.model(x), model(x)) and target(X).shape == (2, 5)


def test_no_other_size_where_the_tables_are_of_the_published_one(file, tmp_path):
    torch.manual_seed(0)
    save_file(timm.create_model(VIT).state_dict(), tmp_path / "published.safetensors")
    with pytest.raises(ValueError, match=r"pos_embed is .* give target.input_size=160$"):
        source(VIT, tmp_path / "published.safetensors", input_size=96).build()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (VIT, dict(patch_size=32), "choose in target.name the model that the file is of$"),
        ("swin_tiny_patch4_window7_224", dict(window_size=4), "choose in target.name the model that the file is of$"),
        ("beit_base_patch16_224", dict(img_size=96), "give target.input_size=96$"),
    ],
)
def test_tables_of_every_kind_are_compared(name, options, message, tmp_path, monkeypatch):
    """Models are made small where their size does not matter."""
    less = {"swin_tiny_patch4_window7_224": dict(depths=(1, 1), num_heads=(1, 2), embed_dim=8)}
    less["beit_base_patch16_224"] = dict(depth=1, embed_dim=48, num_heads=3)
    make, small = timm.create_model, less.get(name, {})
    monkeypatch.setattr(timm, "create_model", lambda *args, **given: make(*args, **small | given))
    torch.manual_seed(0)
    save_file(timm.create_model(name, num_classes=5, **options).state_dict(), tmp_path / "file.safetensors")
    with pytest.raises(ValueError, match=f"weights of another size would be interpolated.*{message}"):
        source(name, tmp_path / "file.safetensors", 5).build()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("five", {}, r"is of 5 classes \(fc.weight is \(5, .*\)\), the model has 1000; give target.num_classes=5$"),
        ("five", dict(num_classes=7), r"is of 5 classes .*, the model has 7; give target.num_classes=5$"),
        ("five", dict(classes=["a", "b"]), r"is of 5 classes .*, the model has 2; give target.num_classes=5$"),
        (
            "grey",
            dict(num_classes=5),
            r"conv1.0.weight is \(\d+, 1, .* give target.input_size=\[1,160,160\] with target.mean",
        ),
        (
            "four",
            dict(num_classes=5),
            r"conv1.0.weight is \(\d+, 4, .* the file is of 4 channels and pictures have 3 or",
        ),
    ],
)
def test_other_heads_and_first_layers_are_named(file, name, options, message):
    with pytest.raises(ValueError, match=rf"^target.weights=.*{name}.safetensors: {message}") as error:
        source(CONV, file(name), **options).build()
    assert "\n" not in str(error.value)


def test_a_model_that_timm_loads_in_part_is_refused(tmp_path, monkeypatch):
    """`dla34` is loaded without asking for every tensor."""
    state = {f"other.{name}": torch.zeros(1) for name in "ab"}
    save_file(state, tmp_path / "file.safetensors")
    with pytest.raises(ValueError, match=r"file.safetensors: does not fit, missing: .*unexpected: other.a, other.b$"):
        source("dla34", tmp_path / "file.safetensors").build()


WRONG = {
    "target.mean=[0.5, 0.5]: must be one number, or 3: one a channel": dict(mean=[0.5, 0.5]),
    "target.mean=x: must be a number": dict(mean="x"),
    "target.std=0: must be a number above 0": dict(std=[1, 1, 0]),
    "target.mean: is published for 3 channels; for one give target.mean=NUMBER": dict(input_size=[1, 64, 64]),
    "target.std: is published for 3 channels": dict(input_size=[1, 64, 64], mean=0.5),
    "target.crop_pct=1.5: must be a number above 0 and at most 1": dict(crop_pct=1.5),
    "target.interpolation=cubic: use one of bilinear, bicubic": dict(interpolation="cubic"),
    "target.input_size=[4, 64, 64]: must be a side, [height,width] or": dict(input_size=[4, 64, 64]),
    "target.input_size=[64]: must be a side": dict(input_size=[64]),
    "target.input_size=0: must be a whole number at least 1": dict(input_size=0),
    "target.input_size=1.5: must be a whole number at least 1": dict(input_size=1.5),
    "target.classes=no.txt: cannot be opened": dict(classes="no.txt"),
    "target.classes=[]: names no class": dict(classes=[]),
    "target.num_classes=3: target.classes names 2 classes": dict(num_classes=3, classes=["a", "b"]),
}


@pytest.mark.parametrize(("message", "options"), WRONG.items(), ids=WRONG)
def test_wrong_options_are_refused_before_anything_is_read(message, options, file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as error:
        source(CONV, file("five"), **options)
    assert str(error.value).startswith(message)


def test_the_command_says_and_records_what_was_used(file, equidiff, tmp_path):
    words = (
        "run",
        "target=timm",
        f"target.name={CONV}",
        f"target.weights={file('five')}",
        "target.classes=[a,b,c,d,e]",
    )
    words += ("target.mean=0.4", "target.input_size=32", "target.crop_pct=1", "prior=embedded", "objective.label=d")
    words += ("samples=1", "budget.steps=1", "prior.steps=1", "null_samples=2", "hydra.run.dir=out")
    done = equidiff(*words)
    assert done.returncode == 0, done.stderr
    assert (
        f"{CONV}: input_size [3, 32, 32]; interpolation bilinear; crop_pct 1; mean [0.4, 0.4, 0.4]; std" in done.stderr
    )
    assert '"input_size": "[3, 32, 32]"' in (tmp_path / "out" / "summary.json").read_text()
    assert "the logit of d" in done.stderr
