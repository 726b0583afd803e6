"""The prior: from starting noise to a picture, one differentiable path through the sampler and the decoder."""

import numpy as np
import torch

from equidiff_cli.checks import number, one_of
from equidiff_cli.prior import sampler

NULL_STREAM = 2**64  # a third word of entropy keeps unguided samples apart from those of every run, seed < 2**32


def sample_seed(seed, index):
    """The seed of sample `index` of a run: a hash of both, so that runs with neighbouring seeds share no noise."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def check_solver(solver, steps, shift):
    """`ValueError` for options of the solver out of range."""
    one_of("prior.solver", solver, sampler.SOLVERS)
    number("prior.steps", steps, minimum=1, whole=True)
    number("prior.shift", shift, above=0)


def keep_in(dtype, module):
    """Keep the weights of products in `dtype`. Autocast would cast them to it at every call, as it remembers only those
    that ask for gradients; results are the same."""
    for part in module.modules():
        if isinstance(part, (torch.nn.Linear, torch.nn.Conv2d)):
            part.to(dtype)


class Prior:
    """A latent flow model whose whole sampling loop is one differentiable function.

    Args:
        network: velocity network, `LightningDiT`.
        decoder: `AutoencoderKL` of diffusers or what decodes like it; latents -> pictures in [-1, 1].
        mean, std: statistics of the latents, each (1, C, 1, 1).
        solver: "euler" or "heun".
        steps: solver steps T from noise to data.
        shift: shift of the time grid, see `sampler.time_grid`.
        autocast: element type of the network and the decoder; latents stay float32.

    Two attributes may be changed at any time, see `sampler.integrate`: `gradient_steps`, the solver steps that the
    gradient goes through, at first all; and `recompute`, how many of them are computed again in the backward pass, at
    first all (None).
    """

    def __init__(self, network, decoder, mean, std, *, solver, steps, shift, autocast=torch.float32):
        self.network, self.decoder, self.mean, self.std = network, decoder, mean, std
        check_solver(solver, steps, shift)
        self.step, self.evaluations_per_step = sampler.SOLVERS[solver]
        self.device, self.autocast = mean.device, autocast
        self.gradient_steps, self.recompute = steps, None
        self.times = sampler.time_grid(steps, shift)
        self.conditions = self._conditions(self.times)
        if autocast != torch.float32:  # what comes after the condition, whose embeddings stay float32
            for name, part in (*network.named_children(), *decoder.named_children()):
                if name not in ("t_embedder", "y_embedder", "encoder", "quant_conv", "analysis"):
                    keep_in(autocast, part)

    @property
    def latent_shape(self):
        """(C, H, W) of the latents."""
        return self.network.in_channels, self.network.input_size, self.network.input_size

    @property
    def evaluations(self):
        """Network evaluations for one picture."""
        return (len(self.times) - 1) * self.evaluations_per_step

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
            return self.network.velocity(z, condition).float()

    def flow(self, z):
        """Lines 5-7: starting noise (N, C, H, W) -> normalised latents at t = 1."""
        return sampler.integrate(self.step, self.velocity, z, self.times, self.recompute, self.gradient_steps)

    def decode(self, z):
        """Line 8: normalised latents (N, C, H, W) -> pictures (N, 3, H, W) in [0, 1]."""
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast != torch.float32):
            x = self.decoder.decode(z * self.std + self.mean).sample.float()
        return ((x + 1) / 2).clamp(0, 1)

    @torch.no_grad()
    def sample(self, noise, batch):
        """Pictures of starting noises (N, C, H, W), (N, 3, H, W) in [0, 1], `batch` of them at once."""
        return torch.cat([self.decode(self.flow(part.to(self.device))) for part in noise.split(batch)])

    def unguided(self, samples, batch):
        """Pictures of `samples` fixed starting noises, (samples, 3, H, W) in [0, 1]: what chance gives."""
        noise = torch.stack([self.noise(sample_seed(NULL_STREAM, i)) for i in range(samples)])
        return self.sample(noise, batch)
