"""An autoencoder for small pictures: principal components of patches, and a convolutional network that refines them.

The code of a patch is its projection on the leading principal components of patches of photographs, which is linear and
loses nothing a person sees (Karhunen-Loeve transform). The decoder adds to the inverse projection what the neighbouring
codes tell of the components that were left out.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from equidiff_cli.prior.precision import keep_in


class Decoded(NamedTuple):
    """What a decoder of diffusers gives, too: pictures (N, 3, H, W), about in [-1, 1]."""

    sample: torch.Tensor


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input is carried: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, width):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class PatchAutoencoder(nn.Module):
    """Pictures (N, 3, H, W) in [-1, 1] <-> latents (N, C, H / p, W / p) for patches of p x p pixels.

    Args:
        patch_size: p.
        latent_channels: C, the principal components kept.
        width, depth: channels and residual blocks of the network that refines.
    """

    def __init__(self, *, patch_size, latent_channels, width, depth):
        super().__init__()
        self.patch_size, self.recompute = patch_size, False
        self.analysis = nn.Conv2d(3, latent_channels, patch_size, stride=patch_size)
        self.synthesis = nn.Conv2d(latent_channels, 3 * patch_size**2, 1)
        self.refine = nn.Sequential(
            nn.Conv2d(latent_channels, width, 3, padding=1),
            *(ResidualBlock(width) for _ in range(depth)),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, 3 * patch_size**2, 3, padding=1),
        )

    def encode(self, x):
        """Pictures -> latents."""
        return self.analysis(x)

    def decode(self, z):
        """Latents -> pictures, as `sample` of what is returned, like the decoders of diffusers."""
        x = z
        for part in self.refine:  # (N, width, H / p, W / p), at the end (N, 3 * p * p, H / p, W / p)
            again = self.recompute and isinstance(part, ResidualBlock) and torch.is_grad_enabled()
            x = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False) if again else part(x)
        return Decoded(F.pixel_shuffle(self.synthesis(z) + x, self.patch_size))

    def enable_gradient_checkpointing(self):
        """Keep only what enters each block for the backward pass and compute the rest again, as in diffusers."""
        self.recompute = True

    def keep_in(self, dtype):
        """Keep what decodes in `dtype`; what encodes stays float32."""
        keep_in(dtype, self.synthesis, self.refine)

    @torch.no_grad()
    def fit(self, x):
        """Set the linear maps to the principal components of patches of pictures x (N, 3, H, W).

        The network that refines adds nothing until it is trained.
        """
        channels, p = self.analysis.out_channels, self.patch_size
        patches = F.unfold(x, p, stride=p).mT.flatten(0, 1)  # (N * T, 3 * p * p), ordered as `pixel_shuffle` wants it
        mean = patches.mean(0)
        _, vectors = torch.linalg.eigh(torch.cov(patches.T))
        components = vectors.flip(1)[:, :channels].T  # (C, 3 * p * p), the largest first
        self.analysis.weight.copy_(components.unflatten(1, (3, p, p)))
        self.analysis.bias.copy_(-components @ mean)
        self.synthesis.weight.copy_(components.T[:, :, None, None])
        self.synthesis.bias.copy_(mean)
        last = self.refine[-1]
        last.weight.zero_()
        last.bias.zero_()
