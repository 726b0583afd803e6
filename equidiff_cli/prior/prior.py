"""The prior: from starting noise to a picture, one differentiable path through the sampler and the decoder."""

import copy
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from equidiff_cli.prior.accepted import RANDOM
from equidiff_cli.prior.paths import Flow
from equidiff_cli.prior.sampler import Adjoint
from equidiff_cli.weights.hub import Source

NULL_STREAM = 2**64  # a third word of entropy keeps unguided samples apart from those of every run, seed < 2**32
DITHER = 0.25  # levels by which a dither may move a value, at most
LABEL_STREAM = 2**65  # and the classes of samples apart from all noise


def sample_seed(seed, index):
    """The seed of sample `index` of a run: a hash of both, so that runs with neighbouring seeds share no noise."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def random_label(seed, count):
    """The class, below `count`, of the sample with this seed, each as likely as any other."""
    return int(np.random.default_rng([int(seed), LABEL_STREAM]).integers(count))


@runtime_checkable
class PriorSource(Protocol):
    """What `_target_` of an option of the group `prior` makes: a light object, which reads nothing before `build`.

    It is called with the options of the configuration, checks them (`ValueError`, "prior.key=value: what is accepted")
    and has what is below; a frozen dataclass does. A prior of one's own needs the same and nothing else.

    Attributes:
        medium: how queries are read and samples are kept: `Pictures()` of `equidiff_cli.pictures.medium`, where the
            prior decodes to (N, 3, H, W), or `Points()` of `equidiff_cli.circles.points`, where it is (N, 2, 1, 1).
        image_size: side of what it makes, H = W.
        steps: solver steps T from noise to data.

    One that knows classes has besides: `label`, how the class of a sample is chosen, as `prior.label` has it; `classes`
    and `num_classes`, their names, as `request/labels.py` takes them, and how many there are; `null_trained`, whether
    it was trained to draw without a class: "yes", "no" or "not known".
    """

    medium: object
    image_size: int
    steps: int

    def sources(self) -> list[Source]:
        """The files of its weights, which are brought into the cache before `build`; none for what is at hand."""

    def build(self, device: torch.device, autocast: torch.dtype) -> "Prior":
        """Read the weights and put the parts together on `device`; `ValueError` for files that do not fit."""


class Prior:
    """A latent generative model whose whole sampling loop is one differentiable function.

    Args:
        network: the velocity network, such as `LightningDiT`, frozen. It has `in_channels` C and `input_size` H = W of
            its latents, and `num_classes`, the number of the null class. `condition(t, y)` maps times (N,) and classes
            (N,) to conditions (N, ...); `velocity(z, c)` maps latents (N, C, H, W) and conditions, (N, ...) or
            (1, ...), to dz/dt (N, C, H, W), where t = 0 is noise and t = 1 is data.
        decoder: an `AutoencoderKL` of diffusers or what decodes like it, frozen. `decode(z)` gives pictures in [-1, 1]
            as `sample` of what it returns; after `enable_gradient_checkpointing()` its blocks are computed again in the
            backward pass.
        mean, std: statistics of the latents, each (1, C, 1, 1); their device is that of the prior.
        name: what to call it in records.
        weights: SHA-256 of the files of the weights by their names.
        solver, steps, shift: of the flow, see `paths.Flow`.
        path: the way from noise to latents, see `paths`, where that is no flow; instead of the three before.
        autocast: element type of the network and the decoder; latents stay float32. Where one of them has a method
            `keep_in(dtype)`, it is called for another type than float32, see `precision.keep_in`.
        levels: steps from 0 to 1 in which files keep what it makes; None: they keep all digits.
        label: the class that every sample is drawn as, None for none, or "random": each as its own, see `of`.
    """

    def __init__(
        self,
        network,
        decoder,
        mean,
        std,
        *,
        name,
        weights,
        solver=None,
        steps=None,
        shift=None,
        path=None,
        autocast=torch.float32,
        label=None,
        levels=255,
    ):
        self.network, self.decoder, self.mean, self.std = network, decoder, mean, std
        self.name, self.weights = name, weights
        self.device, self.autocast, self.levels = mean.device, autocast, levels
        self.path = Flow(solver, steps, shift) if path is None else path
        self.steps, self.evaluations, self.times = self.path.steps, self.path.evaluations, self.path.times
        self._draw_as(label)
        if autocast != torch.float32:
            for part in (network, decoder):
                if hasattr(part, "keep_in"):
                    part.keep_in(autocast)

    def _draw_as(self, label):
        self.label = label
        self._drawn_as = None if label == RANDOM else [label]
        self._conditions = None  # what the network is told, known when it is asked first

    @property
    def latent_shape(self):
        """(C, H, W) of the latents."""
        return self.network.in_channels, self.network.input_size, self.network.input_size

    @property
    def noise_shape(self):
        """(noises * C, H, W) of the starting noise: that of the latents, and of every noise added on the way."""
        channels, *side = self.latent_shape
        return self.path.noises * channels, *side

    def noise(self, seed):
        """Starting noise (noises * C, H, W) ~ N(0, I) of one sample, drawn on the CPU so that it is the same on every
        device. With more steps, what is added later comes behind, and z stays."""
        generator = torch.Generator().manual_seed(seed)
        return torch.cat([torch.randn(self.latent_shape, generator=generator) for _ in range(self.path.noises)])

    def draws_as(self, label):
        """The same prior, which draws as another class, see `label`."""
        other = copy.copy(self)
        other._draw_as(label)
        return other

    def labels(self, seeds):
        """The class of each sample by its seed, a list; None for none."""
        if self.label != RANDOM:
            return [self.label for _ in seeds]
        return [random_label(seed, self.network.num_classes) for seed in seeds]

    def of(self, seeds):
        """The prior for the samples with these seeds, in this order: where each has a class of its own, it is told the
        network. What `velocity` and `flow` are called with has one row a seed then.
        """
        if self.label != RANDOM:
            return self
        bound = copy.copy(self)
        bound._drawn_as = self.labels(seeds)
        bound._conditions = None
        return bound

    def velocity(self, z, i):
        """dz/dt (N, C, H, W) of the class in question at `times[i]`."""
        if self._conditions is None:
            self._conditions = self._told(self.times)
        return self._velocity(z, self._conditions[i])

    def velocity_on(self, times):
        """As `velocity`, at `times` (T + 1,) of one's own: a function (z, i) -> dz/dt at `times[i]`."""
        conditions = self._told(times)
        return lambda z, i: self._velocity(z, conditions[i])

    @torch.no_grad()
    def _told(self, times):
        """What the network is told besides z, (T + 1, N or 1, ...): times and classes (line 7)."""
        if self._drawn_as is None:
            raise ValueError("prior.label=random: each sample has a class of its own; ask prior.of(seeds)")
        null = self.network.num_classes
        y = torch.tensor([null if label is None else label for label in self._drawn_as], device=self.device)
        t = times.to(self.device).repeat_interleave(len(y))
        return self.network.condition(t, y.repeat(len(times))).unflatten(0, (len(times), len(y)))

    def _velocity(self, z, condition):
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast != torch.float32):
            return self.network.velocity(z.clone(), condition).float()  # it may be a user's own, in place

    def compile(self):
        """Compile the velocity: a minute or more at its first call, faster afterwards."""
        self.network.velocity = torch.compile(self.network.velocity)

    def flow(self, z, adjoint=Adjoint()):
        """Lines 5-7: starting noise (N, noises * C, H, W) -> normalised latents (N, C, H, W) at t = 1."""
        return self.path(self.velocity, z, adjoint)

    def decode(self, z, adjoint=Adjoint()):
        """Line 8: normalised latents (N, C, H, W) -> pictures (N, 3, H, W) in [0, 1]."""
        if adjoint.decoder:
            self.decoder.enable_gradient_checkpointing()  # from now on; results are the same
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast != torch.float32):
            x = self.decoder.decode(z * self.std + self.mean).sample.float()
        return ((x + 1) / 2).clamp(0, 1)

    def filed(self, x, number=0):
        """Pictures (N, 3, H, W) as their files have them, rounded; the gradient is that of x, "straight through"
        (Bengio, Leonard & Courville 2013).

        Args:
            number: 0: to the nearest level. Others: each with a dither of its own, the same for all pictures, so that
                values close to the middle between two levels may go to either (Widrow & Kollar 2008, chapter 19).
        """
        if self.levels is None:
            return x
        levels = x * self.levels
        if number:
            drawn = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(number))
            levels = levels + DITHER * (2 * drawn - 1).to(x)
        return x + (levels.round() / self.levels - x).detach()

    @torch.no_grad()
    def sample(self, noise, batch):
        """Pictures of starting noises (N, noises * C, H, W), (N, 3, H, W) in [0, 1], `batch` of them at once."""
        return torch.cat([self.decode(self.flow(part.to(self.device))) for part in noise.split(batch)])

    def drawn(self, seeds, batch):
        """Pictures (N, 3, H, W) in [0, 1] of samples by their seeds, before anything is optimised."""
        parts = [seeds[i : i + batch] for i in range(0, len(seeds), batch)]
        return torch.cat([self.of(part).sample(torch.stack(list(map(self.noise, part))), batch) for part in parts])

    def unguided(self, samples, batch):
        """Pictures of `samples` fixed starting noises, (samples, 3, H, W) in [0, 1]: what chance gives."""
        return self.drawn([sample_seed(NULL_STREAM, i) for i in range(samples)], batch)
