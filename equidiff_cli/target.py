"""The network under study: a frozen classifier, its own preprocessing as tensor operations, and its named layers."""

import textwrap
from pathlib import Path

import timm
import torch
from timm.data import ImageNetInfo, create_transform, resolve_model_data_config

from equidiff_cli import classifiers
from equidiff_cli.checks import choices, number, one_of
from equidiff_cli.prior.weights import load, read

EMBEDDED = Path(__file__).parent / "prior" / "embedded"
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Target:
    """A classifier as a differentiable function of pictures (N, 3, H, W) in [0, 1].

    Args:
        model: network from normalised pictures to logits (N, classes).
        transform: the network's own preprocessing (resize, crop, normalise), on float tensors.
        classes: the name of each class; one class may have several names, separated by ", ".
        name: what to call it in records.
        files: where its weights are, as far as they are files the user can see.
    """

    def __init__(self, model, transform, classes, name, files=()):
        self.model, self.transform, self.classes = model.requires_grad_(False).eval(), transform, classes
        self.name, self.files = name, [Path(file) for file in files]

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


def timm_model(name, weights):
    """Any classifier of timm by name, with its published weights or those of a local file.

    Args:
        name: a model name of timm, such as "resnet50" or "vit_base_patch16_224.augreg_in21k_ft_in1k".
        weights: path of a local .pth or .safetensors file; None: the published weights, from the cache or the hub.
    """
    known = timm.list_models() + timm.list_pretrained()  # without and with the tag of the weights
    if name not in known:
        raise ValueError(f"target.name={name}: timm has no such model; {choices(name, known)}")
    overlay = None
    if weights is not None:
        if not Path(weights).is_file():
            raise ValueError(f"target.weights={weights}: no such file; give a .pth or .safetensors file")
        read(weights, "target.weights")  # says in one line what is wrong with a file that cannot be read
        overlay = dict(file=str(weights))
    try:
        model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except (OSError, RuntimeError) as error:  # no network, nothing published, or tensors that do not fit
        reason = textwrap.shorten(str(error), 300)
        if weights is not None:
            raise ValueError(f"target.weights={weights}: {reason}") from None
        raise ValueError(f"target.name={name}: {reason} (target.weights=... takes a local file)") from None
    transform = create_transform(**resolve_model_data_config(model))
    info = ImageNetInfo()
    classes = [info.index_to_description(i) for i in range(1000)] if model.num_classes == 1000 else None
    classes = classes or [str(i) for i in range(model.num_classes)]
    return Target(model, transform, classes, name, [weights] if weights else [])


@torch.no_grad()
def top_class(target, x):
    """The index of the largest logit for one picture (1, 3, H, W) in [0, 1]."""
    return target(x).argmax(1).item()
