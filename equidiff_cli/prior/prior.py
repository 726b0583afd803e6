"""The prior: from starting noise to a picture, one differentiable path through the sampler and the decoder."""

from typing import Protocol, runtime_checkable

import numpy as np
import torch

from equidiff_cli.prior import sampler
from equidiff_cli.prior.accepted import check_solver
from equidiff_cli.prior.sampler import Adjoint
from equidiff_cli.weights.hub import Source

NULL_STREAM = 2**64  # a third word of entropy keeps unguided samples apart from those of every run, seed < 2**32


def sample_seed(seed, index):
    """The seed of sample `index` of a run: a hash of both, so that runs with neighbouring seeds share no noise."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


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
    """

    medium: object
    image_size: int
    steps: int

    def sources(self) -> list[Source]:
        """The files of its weights, which are brought into the cache before `build`; none for what is at hand."""

    def build(self, device: torch.device, autocast: torch.dtype) -> "Prior":
        """Read the weights and put the parts together on `device`; `ValueError` for files that do not fit."""


class Prior:
    """A latent flow model whose whole sampling loop is one differentiable function.

    Args:
        network: the velocity network, such as `LightningDiT`, frozen. It has `in_channels` C and `input_size` H = W of
            its latents, and `num_classes`, the number of the null class. `condition(t, y)` maps times (N,) and classes
            (N,) to conditions (N, D); `velocity(z, c)` maps latents (N, C, H, W) and conditions, (N, D) or (1, D), to
            dz/dt (N, C, H, W), where t = 0 is noise and t = 1 is data.
        decoder: an `AutoencoderKL` of diffusers or what decodes like it, frozen. `decode(z)` gives pictures in [-1, 1]
            as `sample` of what it returns; after `enable_gradient_checkpointing()` its blocks are computed again in the
            backward pass.
        mean, std: statistics of the latents, each (1, C, 1, 1); their device is that of the prior.
        name: what to call it in records.
        weights: SHA-256 of the files of the weights by their names.
        solver: "euler" or "heun".
        steps: solver steps T from noise to data.
        shift: shift of the time grid, see `sampler.time_grid`.
        autocast: element type of the network and the decoder; latents stay float32. Where one of them has a method
            `keep_in(dtype)`, it is called for another type than float32, see `precision.keep_in`.
        levels: steps from 0 to 1 in which files keep what it makes; None: they keep all digits.
    """

    def __init__(
        self, network, decoder, mean, std, *, name, weights, solver, steps, shift, autocast=torch.float32, levels=255
    ):
        check_solver(solver, steps, shift)
        self.network, self.decoder, self.mean, self.std = network, decoder, mean, std
        self.name, self.weights, self.steps = name, weights, steps
        self.step, self.evaluations_per_step = sampler.SOLVERS[solver]
        self.device, self.autocast, self.levels = mean.device, autocast, levels
        self.times = sampler.time_grid(steps, shift)
        self.conditions = self._conditions(self.times)
        if autocast != torch.float32:
            for part in (network, decoder):
                if hasattr(part, "keep_in"):
                    part.keep_in(autocast)

    @property
    def latent_shape(self):
        """(C, H, W) of the latents."""
        return self.network.in_channels, self.network.input_size, self.network.input_size

    @property
    def evaluations(self):
        """Network evaluations for one picture."""
        return self.steps * self.evaluations_per_step

    def noise(self, seed):
        """Starting noise (C, H, W) ~ N(0, I) of one sample, drawn on the CPU so that it is the same on every device."""
        return torch.randn(self.latent_shape, generator=torch.Generator().manual_seed(seed))

    def velocity(self, z, i):
        """dz/dt (N, C, H, W) of the null class at `times[i]`."""
        return self._velocity(z, self.conditions[i : i + 1])

    def velocity_on(self, times):
        """As `velocity`, at `times` (T + 1,) of one's own: a function (z, i) -> dz/dt at `times[i]`."""
        conditions = self._conditions(times)
        return lambda z, i: self._velocity(z, conditions[i : i + 1])

    @torch.no_grad()
    def _conditions(self, times):
        """What the network is told besides z, (T + 1, D): the times, and that there is no class (line 7)."""
        null = torch.tensor([self.network.num_classes], device=self.device)
        return self.network.condition(times.to(self.device), null)

    def _velocity(self, z, condition):
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast != torch.float32):
            return self.network.velocity(z.clone(), condition).float()  # it may be a user's own, in place

    def compile(self):
        """Compile the velocity: a minute or more at its first call, faster afterwards."""
        self.network.velocity = torch.compile(self.network.velocity)

    def flow(self, z, adjoint=Adjoint()):
        """Lines 5-7: starting noise (N, C, H, W) -> normalised latents at t = 1."""
        return sampler.integrate(self.step, self.velocity, z, self.times, adjoint)

    def decode(self, z, adjoint=Adjoint()):
        """Line 8: normalised latents (N, C, H, W) -> pictures (N, 3, H, W) in [0, 1]."""
        if adjoint.decoder:
            self.decoder.enable_gradient_checkpointing()  # from now on; results are the same
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast != torch.float32):
            x = self.decoder.decode(z * self.std + self.mean).sample.float()
        return ((x + 1) / 2).clamp(0, 1)

    def filed(self, x):
        """Pictures (N, 3, H, W) as their files have them, rounded; the gradient is that of x, "straight through"
        (Bengio, Leonard & Courville 2013)."""
        return x if self.levels is None else x + ((x * self.levels).round() / self.levels - x).detach()

    @torch.no_grad()
    def sample(self, noise, batch):
        """Pictures of starting noises (N, C, H, W), (N, 3, H, W) in [0, 1], `batch` of them at once."""
        return torch.cat([self.decode(self.flow(part.to(self.device))) for part in noise.split(batch)])

    def unguided(self, samples, batch):
        """Pictures of `samples` fixed starting noises, (samples, 3, H, W) in [0, 1]: what chance gives."""
        noise = torch.stack([self.noise(sample_seed(NULL_STREAM, i)) for i in range(samples)])
        return self.sample(noise, batch)
