"""Optimisers of independent latents z (N, C, H, W) (lines 3 and 13 of the algorithm).

    state = optimizer.init(z)
    z, state = optimizer.step(z, grad, state)

`state` is a dict of tensors, each with leading dimension N, so that a caller can select, drop and append samples
between steps. `step` is pure: no argument changes, nothing records gradients. z and grad are float32 (or float64).
A sample's result depends on nothing but its own row: not on its neighbours, their number or their steps, nor on a
gradient among them that is not finite. Wrong settings raise `ValueError` naming `optimizer.<key>`. `noise` says what
stays of the starting noise, see `noise.py`.
"""

import math

import torch

from equidiff_cli.parts.accepted import accepted
from equidiff_cli.parts.noise import keeper


class SGD:
    """Gradient descent with heavy-ball momentum (Polyak 1964): m <- momentum m + g, z <- z - lr m.

    With `normalize`, g is first divided by its root mean square over (C, H, W), so that without momentum the root mean
    square of a step is lr; it is taken as at least 1e-12, so a gradient of zeros stays zeros.
    """

    def __init__(self, lr, momentum, normalize, noise="free"):
        self.lr = accepted("optimizer.lr", lr)
        self.momentum = accepted("optimizer.momentum", momentum)
        self.normalize = accepted("optimizer.normalize", normalize)
        self.keep = keeper(noise)

    def init(self, z):
        return self.keep.init(z) | {"momentum": torch.zeros_like(z)}

    @torch.no_grad()
    def step(self, z, grad, state):
        if self.normalize:
            grad = grad / grad.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
        momentum = self.momentum * state["momentum"] + grad
        return self.keep(z - self.lr * momentum, state), state | {"momentum": momentum}


class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1) with a count of steps for each sample."""

    def __init__(self, lr, betas, epsilon, noise="free"):
        self.lr = accepted("optimizer.lr", lr)
        self.betas = accepted("optimizer.betas", betas)
        self.epsilon = accepted("optimizer.epsilon", epsilon)
        self.keep = keeper(noise)

    def init(self, z):
        steps = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        return self.keep.init(z) | {"steps": steps, "mean": torch.zeros_like(z), "square": torch.zeros_like(z)}

    @torch.no_grad()
    def step(self, z, grad, state):
        beta1, beta2 = self.betas
        steps = state["steps"] + 1
        mean = beta1 * state["mean"] + (1 - beta1) * grad
        square = beta2 * state["square"] + (1 - beta2) * grad.square()
        unbiased_mean, unbiased_square = mean / _weight(beta1, steps), square / _weight(beta2, steps)
        z = z - self.lr * unbiased_mean / (unbiased_square.sqrt() + self.epsilon)
        return self.keep(z, state), state | {"steps": steps, "mean": mean, "square": square}


def _weight(beta, steps):
    """1 - beta^steps, exact in float32 for a beta near 1: (N,) -> (N, 1, 1, 1)."""
    return -torch.expm1(steps * (math.log(beta) if beta else -math.inf))[:, None, None, None]


class Shampoo:
    """Shampoo (Gupta, Koren & Singer 2018, arXiv:1802.09568, algorithm 2) on each sample's order-3 tensor (C, H, W).

    For each of the modes C, H, W of size d: the statistic S (N, d, d), at first epsilon I, gains the Gram matrix of the
    gradient along that mode, and the gradient is multiplied along it by S^(-1/6), as k = 3 modes give -1/(2k). Momentum
    acts on the result: m <- momentum m + preconditioned g, z <- z - lr m. No grafting, no weight decay.
    """

    def __init__(self, lr, momentum, epsilon, noise="free"):
        self.lr = accepted("optimizer.lr", lr)
        self.momentum = accepted("optimizer.momentum", momentum)
        self.epsilon = accepted("optimizer.epsilon", epsilon)
        self.keep = keeper(noise)

    def init(self, z):
        state = self.keep.init(z) | {"momentum": torch.zeros_like(z)}
        for mode in (1, 2, 3):
            eye = torch.eye(z.shape[mode], dtype=z.dtype, device=z.device)
            state[f"statistic{mode}"] = (self.epsilon * eye).repeat(len(z), 1, 1)
        return state

    @torch.no_grad()
    def step(self, z, grad, state):
        new_state, direction = dict(state), grad
        for mode in (1, 2, 3):
            unfolded = grad.movedim(mode, 1).flatten(2)  # (N, d, CHW / d)
            statistic = state[f"statistic{mode}"] + unfolded @ unfolded.mT  # (N, d, d)
            root = _inverse_root(statistic, 6, self.epsilon)
            direction = (direction.transpose(mode, 3) @ root[:, None]).transpose(mode, 3)  # root is symmetric
            new_state[f"statistic{mode}"] = statistic
        new_state["momentum"] = self.momentum * state["momentum"] + direction
        return self.keep(z - self.lr * new_state["momentum"], state), new_state


def _inverse_root(matrices, power, floor):
    """S^(-1/power) of symmetric S (N, d, d) whose eigenvalues are at least `floor`, but for rounding.

    `eigh` refuses the whole batch for one value that is not finite: the identity stands in for that sample's matrix.
    """
    finite = matrices.isfinite().all(dim=-1).all(dim=-1)[:, None, None]
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    eigenvalues, vectors = torch.linalg.eigh(torch.where(finite, matrices, eye))
    return (vectors * eigenvalues.clamp_min(floor).pow(-1 / power)[:, None]) @ vectors.mT
