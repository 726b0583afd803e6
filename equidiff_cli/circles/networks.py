"""The two networks for points of the plane: a perceptron that tells the rings apart, and a flow that draws points."""

import math
from types import SimpleNamespace

import torch
from torch import nn

from equidiff_cli.prior.precision import keep_in


class Perceptron(nn.Sequential):
    """Points (N, 2) -> logits (N, 2). Smooth, so that the level curves are, too."""

    def __init__(self, width=32):
        super().__init__(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))


class PointFlow(nn.Module):
    """The velocity of a flow from noise to points, as `Prior` uses it: latents (N, 2, 1, 1), the null class alone.

    A perceptron of the latent and of `frequencies` cosines and sines of the time.
    """

    num_classes, in_channels, input_size = 0, 2, 1

    def __init__(self, width=64, frequencies=4):
        super().__init__()
        self.frequencies = frequencies
        self.layers = nn.Sequential(
            *(nn.Linear(2 + 2 * frequencies, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU()),
            nn.Linear(width, 2),
        )

    def condition(self, t, y):
        """Times (N,) -> what the velocity depends on besides the point, (N, 2 frequencies); `y` is the null class."""
        angles = t[:, None] * math.pi / 2 * torch.arange(1, self.frequencies + 1, device=t.device)
        return torch.cat([angles.cos(), angles.sin()], dim=1)

    def velocity(self, z, c):
        """Latents (N, 2, 1, 1) and their condition, (N, D) or (1, D) for all -> dz/dt (N, 2, 1, 1)."""
        x = torch.cat([z.flatten(1), c.expand(len(z), -1)], dim=1)
        return self.layers(x)[:, :, None, None]

    def keep_in(self, dtype):
        """Keep the layers in `dtype`."""
        keep_in(dtype, self.layers)


class IdentityDecoder(nn.Module):
    """The latent is the point: what `Prior` calls as it calls an autoencoder."""

    def decode(self, z):
        return SimpleNamespace(sample=z)

    def enable_gradient_checkpointing(self):
        """Nothing is kept for the backward pass."""
