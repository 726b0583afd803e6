"""Where samples begin: at fresh noise, or between the query's own noise and that."""

import math

import torch

from equidiff_cli.errors import WrongRequest
from equidiff_cli.prior.inverse import invert
from equidiff_cli.prior.prior import Prior


class Starts:
    """A `Prior` whose samples begin near the noise of a picture; in all else the prior itself.

    Args:
        prior: `Prior`.
        picture: (1, 3, H, W) in [0, 1].
        near: (least, most) share of the way from the picture's noise, 0, to fresh noise, 1; a sample's share is drawn
            evenly from between by its seed.
        where: (1, 1, H, W), above 0 where the pictures may differ, or None: elsewhere the noise is the picture's.
        least: PSNR (decibels) that what is found has to reach.

    `find` must have been called before samples are drawn; `noise_of` (1, C, H, W) is what it found, `psnr` how near.
    """

    def __init__(self, prior, picture, near, where, least):
        self.prior, self.picture, self.near, self.least = prior, picture, near, least
        self.where, self.noise_of, self.psnr = where, None, None

    def __getattr__(self, name):
        if name == "prior":  # not there yet, as while it is unpickled
            raise AttributeError(name)
        return getattr(self.prior, name)

    def find(self):
        """Find the noise of the picture; `WrongRequest` if what it gives is not near the picture."""
        found, self.psnr = invert(self.prior, self.picture)
        if self.psnr < self.least:
            raise WrongRequest(
                f"least_psnr={self.least:g}: {self.prior.name} comes no nearer to the query than {self.psnr:.1f} dB; a"
                " start near it would be near another picture: take a query that the prior can make, or a lower value"
            )
        self.noise_of = found.cpu()

    def noise(self, seed):
        """Starting noise (C, H, W) of one sample, on the CPU: on the great circle between both noises, which keeps to
        the sphere where the picture's noise lies on it (Shoemake 1985)."""
        fresh, own = self.prior.noise(seed), self.noise_of[0]
        angle = self.share(seed) * math.pi / 2
        mixed = math.cos(angle) * own + math.sin(angle) * fresh
        if self.where is None:
            return mixed
        size = fresh.shape[-2:]
        free = torch.nn.functional.adaptive_max_pool2d(self.where.cpu(), size)[0] > 0
        return torch.where(free, mixed, own)

    def drawn(self, seeds, batch):
        """As of `Prior`: what samples show where they begin. `unguided` stays that of fresh noise."""
        return Prior.drawn(self, seeds, batch)

    def share(self, seed):
        """How far from the picture's noise a sample begins, of `near`."""
        least, most = self.near
        drawn = torch.rand((), generator=torch.Generator().manual_seed(seed ^ 0x5EED)).item()
        return least + (most - least) * drawn
