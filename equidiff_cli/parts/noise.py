"""What an optimiser keeps of the noise that it moves: latents z (N, C, H, W).

A prior was trained on white noise. What leaves it leaves the pictures, too.

    state = keep.init(z)
    z = keep(z, state)                # back to what is kept, by the nearest way
    rows = keep.tangent(rows, z)      # of directions (N, R, C, H, W) at z, what changes nothing of it to first order
"""

import torch

from equidiff_cli.parts.accepted import accepted


class Free:
    """Nothing is kept."""

    def init(self, z):
        return {}

    def __call__(self, z, state):
        return z

    def tangent(self, rows, z):
        return rows


class Sphere:
    """The norm of the starting noise: z is scaled back to it."""

    def init(self, z):
        return {"radius": norm(z)}

    def __call__(self, z, state):
        return z * (state["radius"] / norm(z))

    def tangent(self, rows, z):
        z = z[:, None]
        return rows - z * ((rows * z).sum((2, 3, 4), keepdim=True) / square(z, (2, 3, 4)))


class White:
    """The norms of blocks of the Fourier transform, each as in the starting noise, so that the spectrum stays that of
    white noise; after Hwang & Sung 2026 (arXiv:2602.08646).

    A block is a ring of frequencies of one channel, one unit wide, of the two-dimensional transform over (H, W). The
    nearest latents with given norms of blocks are these blocks, scaled.
    """

    def init(self, z):
        return {"rings": ring_norms(torch.fft.fft2(z, norm="ortho"), rings(z))}

    def __call__(self, z, state):
        spectrum, where = torch.fft.fft2(z, norm="ortho"), rings(z)
        gain = state["rings"] / ring_norms(spectrum, where).clamp_min(1e-12)  # (N, C, rings)
        return torch.fft.ifft2(spectrum * gain[..., where], norm="ortho").real

    def tangent(self, rows, z):
        spectrum, where = torch.fft.fft2(z, norm="ortho")[:, None], rings(z)
        along = ring_sums((torch.fft.fft2(rows, norm="ortho") * spectrum.conj()).real, where)  # (N, R, C, rings)
        share = along / ring_sums(spectrum.abs().square(), where).clamp_min(1e-12)
        return rows - torch.fft.ifft2(spectrum * share[..., where], norm="ortho").real


def norm(z):
    """(N, C, H, W) -> (N, 1, 1, 1)."""
    return z.flatten(1).norm(dim=1)[:, None, None, None]


def rings(z):
    """The ring that each frequency belongs to, (H, W): its distance from the constant, rounded."""
    rows, columns = (torch.fft.fftfreq(n, 1 / n, device=z.device) for n in z.shape[2:])
    return (rows[:, None].square() + columns.square()).sqrt().round().long()


def ring_norms(spectrum, where):
    """The norm of each ring of a spectrum (N, C, H, W): (N, C, rings)."""
    return ring_sums(spectrum.abs().square(), where).sqrt()


def ring_sums(values, where):
    """The sum over each ring of values (..., H, W): (..., rings)."""
    sums = values.new_zeros(*values.shape[:-2], int(where.max()) + 1)
    return sums.index_add(-1, where.flatten(), values.flatten(-2))


def square(z, axes):
    """The sum of squares over `axes`, at least 1e-30."""
    return z.square().sum(axes, keepdim=True).clamp_min(1e-30)


KEEPERS = {"free": Free, "sphere": Sphere, "white": White}


def keeper(noise):
    """What `optimizer.noise` names."""
    return KEEPERS[accepted("optimizer.noise", noise)]()
