"""Changes of a picture that leave what it shows: (N, 3, H, W) -> (V N, 3, H, W), all of the first change first.

A value that holds under them is carried by more than the exact pixels (Olah, Mordvintsev & Schubert 2017, "Feature
Visualization", use such for activation maximisation). They are the same for every picture and at every step, so that
a sample depends on no other and can be drawn again.
"""

import torch
import torch.nn.functional as F

from equidiff_cli.parts.accepted import accepted
from equidiff_cli.pictures.perturb import jpeg as through_jpeg


class Nothing:
    """No change at all (`robust=none`): V = 0."""

    def __call__(self, x):
        return x[:0]


class Views:
    """A few fixed changes, each on its own. `ValueError` for a value out of range, and for what is no picture.

    Args:
        shift: to the right, and up and to the left, in sides of the picture, bilinear; what comes in repeats the edge.
        mirror: whether left and right are exchanged.
        noise: standard deviation of one fixed draw, in units of [0, 1].
        contrast: factor around mid grey.
        jpeg: quality; the gradient passes as if nothing had been done (Bengio, Leonard & Courville 2013).
    """

    def __init__(self, shift, mirror, noise, contrast, jpeg):
        given = dict(shift=shift, mirror=mirror, noise=noise, contrast=contrast, jpeg=jpeg)
        for name, value in given.items():
            accepted(f"robust.{name}", value)
        self.changes = []
        if shift:
            self.changes += [lambda x: shifted(x, shift, 0.0), lambda x: shifted(x, -shift, -shift)]
        if mirror:
            self.changes += [lambda x: x.flip(-1)]
        if noise:
            self.changes += [lambda x: x + noise * draw(x)]
        if contrast != 1:
            self.changes += [lambda x: (x - 0.5) * contrast + 0.5]
        if jpeg:
            self.changes += [lambda x: compressed(x, jpeg)]
        if not self.changes:
            raise ValueError("robust=views: changes nothing; give it a change, or use robust=none")

    def __call__(self, x):
        if x.shape[-1] == 1:
            raise ValueError("robust=views: needs pictures, points of the plane have no such views; use robust=none")
        return torch.cat([change(x) for change in self.changes])


class Joined:
    """Several of these, and filters: their views one after the other."""

    def __init__(self, *parts):
        self.parts = parts

    def __call__(self, x):
        return torch.cat([part(x) for part in self.parts])


def shifted(x, across, down):
    """x moved by so many of its sides to the right and down, bilinear, edges repeated."""
    theta = torch.tensor([[1.0, 0.0, -2 * across], [0.0, 1.0, -2 * down]], dtype=x.dtype, device=x.device)
    grid = F.affine_grid(theta.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def draw(x):
    """Noise (1, C, H, W) ~ N(0, I), the same for every picture of that size and on every device."""
    return torch.randn(1, *x.shape[1:], generator=torch.Generator().manual_seed(0)).to(x)


def compressed(x, quality):
    """x as a JPEG file of that quality shows it; the gradient is that of x."""
    return x + (through_jpeg(x, quality) - x).detach()
