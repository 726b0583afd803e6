"""From noise to data: time grid, Euler and Heun steps, jumps with fresh noise between, guidance. Differentiable, with
memory flat in the steps."""

from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Adjoint:
    """How to differentiate from a picture back to its starting noise. What is returned does not depend on it.

    Args:
        gradient_steps: how many solver steps, the last ones, the gradient goes through; before them dz/dz0 is taken as
            the identity, as if z had been the starting noise; None: all.
        recompute: how many of the steps that have a gradient, from the first, keep only their z and are computed again
            in the backward pass (Chen et al. 2016), so that memory does not grow with them; None: all.
        decoder: whether the decoder's blocks are computed again, too.
    """

    gradient_steps: int | None = None
    recompute: int | None = None
    decoder: bool = False


def time_grid(steps, shift):
    """The `steps + 1` times from noise (0) to data (1), float32, shifted by s t / (1 + (s - 1) t).

    A shift below 1 spends more steps near the noise (Yao, Yang & Wang 2025 use 0.3); 1 leaves the grid uniform.
    """
    t = torch.linspace(0, 1, steps + 1)
    return shift * t / (1 + (shift - 1) * t)


def euler(velocity, z, i, dt):
    """One Euler step, one evaluation: z + dt v(z, t_i)."""
    return z + dt * velocity(z, i)


def heun(velocity, z, i, dt):
    """One step of Heun's method, two evaluations: the mean of the velocities at both ends (Karras et al. 2022)."""
    v = velocity(z, i)
    return z + dt / 2 * (v + velocity(z + dt * v, i + 1))


SOLVERS = {"euler": (euler, 1), "heun": (heun, 2)}  # name: (step, network evaluations a step)


def integrate(step, velocity, z, times, adjoint=Adjoint()):
    """Carry z (N, C, H, W) along the flow through all `times`; lines 6-7 of the algorithm.

    Args:
        step: `euler` or `heun`.
        velocity: (z, i) -> dz/dt at `times[i]`.
        adjoint: through which steps the gradient goes, and which of them are computed again for it.
    """
    lengths = times.diff().tolist()
    first = 0 if adjoint.gradient_steps is None else len(lengths) - adjoint.gradient_steps
    kept_from = len(lengths) if adjoint.recompute is None else first + adjoint.recompute
    start = z
    for i, dt in enumerate(lengths):
        if i < first:
            z = step(velocity, z.detach(), i, dt)
            continue
        if i == first > 0:
            z = z.detach() + (start - start.detach())  # adds zeros, whose gradient is that of z
        if i < kept_from and torch.is_grad_enabled():
            z = checkpoint(step, velocity, z, i, dt, use_reentrant=False, preserve_rng_state=False)
        else:
            z = step(velocity, z, i, dt)
    return z


def renoise(velocity, z, eps, times, adjoint=Adjoint()):
    """Jump to the end, go back part of the way with fresh noise, jump again: sampling of consistency models (Song et
    al. 2023, arXiv:2303.01469, algorithm 1) on straight paths. For i = 0 .. n - 1, beginning with x_0 = z:

        E_i = x_i + (1 - t_i) v(x_i, t_i),    x_{i+1} = t_{i+1} E_i + (1 - t_{i+1}) e_i,    result E_{n-1}

    Args:
        velocity: (x, t) -> the mean velocity (N, C, H, W) from t to the end, where t is an element of `times`.
        eps: one noise (N, C, H, W) for every step after the first, n - 1 in all; more are not looked at.
        times: the n times at which to jump, increasing, in [0, 1).
        adjoint: which of the jumps are computed again in the backward pass; the gradient goes through all of them,
            since what of z arrives is scaled by every later t.
    """
    times = torch.as_tensor(times)
    kept_from = len(times) if adjoint.recompute is None else adjoint.recompute

    def jump(x, t):
        return x + (1 - t) * velocity(x, t)

    x = end = z
    for i, t in enumerate(times):
        if i:
            x = t * end + (1 - t) * eps[i - 1]
        if i < kept_from and torch.is_grad_enabled():
            end = checkpoint(jump, x, t, use_reentrant=False, preserve_rng_state=False)
        else:
            end = jump(x, t)
    return end


def guided(conditional, unconditional, times, scale, interval_start):
    """Classifier-free guidance as in the published sampler: on the first three channels only.

    `conditional` and `unconditional` map (z, i) to a velocity; before `interval_start` the result is the conditional
    velocity alone (Kynkaanniemi et al. 2024).
    """

    def velocity(z, i):
        v = conditional(z, i)
        if times[i] < interval_start:
            return v
        null = unconditional(z, i)
        return torch.cat([null[:, :3] + scale * (v[:, :3] - null[:, :3]), v[:, 3:]], dim=1)

    return velocity
