"""Diffusion models saved by diffusers, from the hub or a folder: of pictures or of latents, with classes or without."""

import inspect
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import diffusers
import torch
from diffusers import DDIMScheduler
from torch import nn

from equidiff_cli.checks import number, one_of
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.prior.autoencoder import current
from equidiff_cli.prior.ddim import DDIM
from equidiff_cli.prior.prior import Prior
from equidiff_cli.weights.fit import misfit
from equidiff_cli.weights.hub import Source, find
from equidiff_cli.weights.read import read, sha256

INDEX, CONFIG, WEIGHTS = "model_index.json", "config.json", "diffusion_pytorch_model"
PIPELINES = {  # which parts of them make a picture: the network, the decoder
    "DDPMPipeline": ("unet", None),
    "DDIMPipeline": ("unet", None),
    "LDMPipeline": ("unet", "vqvae"),
    "DiTPipeline": ("transformer", "vae"),
}
CLASSES = ("UNet2DModel", "DiTTransformer2DModel", "Transformer2DModel", "VQModel", "AutoencoderKL")
PREDICTIONS = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True, kw_only=True)
class Diffusers:
    """A pipeline of diffusers as its deterministic DDIM path; a `PriorSource`.

    What it is made of is known from its small files, which are brought when something of it is asked; weights are read
    in `build`, from safetensors alone.

    Args:
        name: a folder that a pipeline was saved to, or "owner/name" on the hub.
        image_size: side of the pictures in pixels; must be what the pipeline makes.
        steps: evaluations of the network from noise to data.
        label, classes: see `PriorSource`; None: the names that the pipeline has, else indices.
    """

    medium = Pictures()

    name: str
    image_size: int
    steps: int
    label: int | str | None
    classes: str | list | None

    def __post_init__(self):
        number("prior.steps", self.steps, minimum=1, whole=True)
        number("prior.image_size", self.image_size, minimum=1, whole=True)
        if not isinstance(self.name, str) or not (self.is_folder or re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", self.name)):
            raise ValueError(f"prior.name={self.name}: must be the folder of a pipeline, or owner/name on the hub")

    @property
    def is_folder(self):
        return Path(self.name).is_dir()

    @cached_property
    def index(self):
        """What the pipeline consists of; its `_class_name` is one of `PIPELINES`."""
        index = self._json(INDEX)
        if index.get("_class_name") not in PIPELINES:
            raise ValueError(
                f"prior.name={self.name}: is a {index.get('_class_name')}; accepted: {', '.join(PIPELINES)}"
            )
        return index

    @cached_property
    def options(self):
        """The configurations of its parts by name, checked to be what this prior can follow."""
        parts = [part for part in PIPELINES[self.index["_class_name"]] if part]
        options = {part: self._json(f"{part}/{CONFIG}", CONFIG) for part in parts}
        for part, found in options.items():
            one_of(f"prior.name={self.name}, class of {part}", found.get("_class_name"), CLASSES)
        schedule = options["scheduler"] = self._json("scheduler/scheduler_config.json", "scheduler_config.json")
        predicts = schedule.get("prediction_type", "epsilon")
        if "beta_schedule" not in schedule or predicts not in PREDICTIONS or schedule.get("thresholding"):
            raise ValueError(
                f"prior.name={self.name}: its {schedule.get('_class_name')} is no schedule of DDPM that predicts"
                f" {', '.join(PREDICTIONS)} without thresholds"
            )
        network, most = options[parts[0]], schedule.get("num_train_timesteps", 1000)
        number("prior.steps", self.steps, minimum=1, maximum=most, whole=True)
        if network.get("class_embed_type") is not None:
            raise ValueError(
                f"prior.name={self.name}: embeds its classes by {network['class_embed_type']}, not a table"
            )
        factor = 2 ** (len(options[parts[1]]["block_out_channels"]) - 1) if len(parts) > 1 else 1
        size = network.get("sample_size")
        one_of("prior.image_size", self.image_size, [size * factor if isinstance(size, int) else size])
        return options

    @property
    def network(self):
        """The configuration of the network."""
        return self.options[PIPELINES[self.index["_class_name"]][0]]

    @property
    def num_classes(self):
        """How many classes it knows; 0 for none."""
        return self.network.get("num_class_embeds" if "unet" in self.options else "num_embeds_ada_norm") or 0

    @property
    def known(self):
        """The names of its classes, by index, as the pipeline has them; None if it has none."""
        named = self.index.get("id2label")
        return named if named and len(named) == self.num_classes else None

    @property
    def null_trained(self):
        """A table of a UNet has no row for "no class"; that of DiT has a trained one."""
        return (None if not self.num_classes else "none") if "unet" in self.options else "yes"

    def sources(self):
        """Where its files are taken from: configurations, then weights."""
        parts = [part for part in PIPELINES[self.index["_class_name"]] if part]
        self.options  # noqa: B018  # says now what is wrong with it
        return [self._source(f"{part}/{WEIGHTS}.safetensors", f"{WEIGHTS}.safetensors") for part in parts]

    def build(self, device, autocast):
        sources = self.sources()
        files = dict(zip(filter(None, PIPELINES[self.index["_class_name"]]), find(sources), strict=True))
        network, *decoder = [self._module(part, file).to(device) for part, file in files.items()]
        scheduler = self.options["scheduler"]
        taken = inspect.signature(DDIMScheduler.__init__).parameters
        scheduler = DDIMScheduler(**{name: value for name, value in scheduler.items() if name in taken})
        scale = decoder[0].config.scaling_factor if decoder else 1.0
        channels = self.network["in_channels"]
        return Prior(
            Predicting(network, channels, self.network["sample_size"], self.num_classes),
            Decoding(*decoder) if decoder else Pixels(),
            torch.zeros(1, channels, 1, 1, device=device),
            torch.full((1, channels, 1, 1), 1 / scale, device=device),
            name=Path(self.name).name if self.is_folder else self.name,
            weights={f"{part}/{file.name}": sha256(file) for part, file in files.items()},
            path=DDIM(scheduler, self.steps),
            autocast=autocast,
        )

    def _module(self, part, file):
        """One network of the pipeline with its weights, frozen; `ValueError` for weights that do not fit."""
        options = self.options[part]
        kind = options["_class_name"]
        kind = "DiTTransformer2DModel" if kind == "Transformer2DModel" else kind  # what DiT was saved as before 0.29
        module = getattr(diffusers, kind).from_config({k: v for k, v in options.items() if k != "_class_name"})
        state = {current(name): tensor.float() for name, tensor in read(file, "prior.name").items()}
        if wrong := misfit(state, module.state_dict()):
            raise ValueError(f"prior.name={self.name}: {part} {wrong}")
        module.load_state_dict(state, assign=True)
        return module.requires_grad_(False).eval()

    def _json(self, *names):
        (file,) = find([self._source(*names)])
        try:
            found = json.loads(Path(file).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"prior.name={self.name}: {names[0]} is no JSON ({error})") from None
        if not isinstance(found, dict):
            raise ValueError(f"prior.name={self.name}: {names[0]} holds a {type(found).__name__}, no options")
        return found

    def _source(self, *names):
        """Where a file is; older pipelines have those of their network without a folder."""
        if not self.is_folder:
            return Source("prior.name", None, self.name, names, f"prior=diffusers prior.name={self.name}")
        found = [Path(self.name, name) for name in names if Path(self.name, name).is_file()]
        if not found:
            pickled = any(Path(self.name, name).with_suffix(".bin").is_file() for name in names)
            why = (
                f"{names[0]} is missing, only a pickled file is there, which could run code: save the pipeline again"
                " with safe_serialization=True"
                if pickled
                else f"has no {names[0]}"
            )
            raise ValueError(f"prior.name={self.name}: {why}")
        return Source("prior.name", str(found[0]))


class Predicting(nn.Module):
    """A network of diffusers as `Prior` uses one; what it predicts, `DDIM` knows.

    Args:
        network: (latents, timesteps (N,), class_labels=(N,) or None) -> an object whose `sample` holds (N, C, H, W),
            or twice the channels, of which the first half is taken.
        in_channels, input_size: C and H = W.
        num_classes: 0 for a network without classes.
    """

    def __init__(self, network, in_channels, input_size, num_classes):
        super().__init__()
        self.network = network
        self.in_channels, self.input_size, self.num_classes = in_channels, input_size, num_classes

    def condition(self, t, y):
        """Timesteps (N,) and classes (N,) -> both, (N, 2)."""
        return torch.stack([t, y.float()], dim=1)

    def velocity(self, z, c):
        t, y = c.expand(len(z), -1).unbind(1)
        said = self.network(z, t, class_labels=y.long() if self.num_classes else None).sample
        return said[:, : self.in_channels]


class Decoding(nn.Module):
    """A decoder of diffusers; what cannot compute its blocks again in the backward pass keeps them."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def decode(self, z):
        return self.decoder.decode(z)

    def enable_gradient_checkpointing(self):
        if getattr(self.decoder, "_supports_gradient_checkpointing", False):
            self.decoder.enable_gradient_checkpointing()


class Pixels(nn.Module):
    """What stands for a decoder where the latents are pictures."""

    def decode(self, z):
        return SimpleNamespace(sample=z)

    def enable_gradient_checkpointing(self):
        """Nothing is kept for the backward pass."""
