"""The ways from starting noise to latents: a flow, jumps with fresh noise between, jumps by mean velocities.

A path is called with a velocity (z, i), starting noise (N, noises * C, H, W) and an `Adjoint`, and gives latents
(N, C, H, W). It has

    steps, evaluations    solver steps, and evaluations of the network for one picture
    noises                tensors of the latents' size that its starting noise holds, one after another in the channels
    times                 what the network is told of the time at each evaluation i
    once(velocity, z)     its first step alone, of latents (N, C, H, W)
    no_likelihood         why there is no likelihood under it; "" where there is one
"""

import torch

from equidiff_cli.prior.accepted import check_solver
from equidiff_cli.prior.sampler import SOLVERS, Adjoint, euler, integrate, renoise, time_grid


class Flow:
    """Lines 5-7 of the algorithm: an ordinary differential equation, solved step by step.

    Args:
        solver: "euler" or "heun".
        steps: solver steps T from noise to data.
        shift: of the time grid, see `sampler.time_grid`.
    """

    noises, no_likelihood = 1, ""

    def __init__(self, solver, steps, shift):
        check_solver(solver, steps, shift)
        self.step, evaluations = SOLVERS[solver]
        self.steps, self.evaluations, self.times = steps, steps * evaluations, time_grid(steps, shift)

    def __call__(self, velocity, z, adjoint=Adjoint()):
        return integrate(self.step, velocity, z, self.times, adjoint)

    def once(self, velocity, z):
        return integrate(self.step, velocity, z, self.times[:2], Adjoint(recompute=0))


class Renoising:
    """Jumps to the end with fresh noise between, `sampler.renoise`. The noises of the later jumps are a part of the
    starting noise: z first, then e_1, e_2, ...

    Args:
        steps: how many jumps n.
        gaps: "uniform" for the times i / n (FACM, Peng et al. 2025, arXiv:2507.03738); or (a, b) for the times from a
            to 1 - b, evenly spaced, a single one at a (UCGM, Sun et al. 2025, arXiv:2505.07447).
    """

    no_likelihood = "it jumps, by no flow whose change of volume could be followed"

    def __init__(self, steps, gaps):
        self.steps = self.evaluations = self.noises = steps
        if gaps == "uniform":
            self.times = torch.arange(steps) / steps
        else:
            self.times = torch.linspace(gaps[0], 1 - gaps[1], steps)

    def __call__(self, velocity, z, adjoint=Adjoint()):
        start, *eps = z.chunk(self.noises, dim=1)
        number = {t: i for i, t in enumerate(self.times.tolist())}
        return renoise(lambda x, t: velocity(x, number[t.item()]), start, eps, self.times, adjoint)

    def once(self, velocity, z):
        return z + (1 - self.times[0]) * velocity(z, 0)


class MeanJumps:
    """Jumps of equal length by the mean velocity over each, which the network is told the length of; no noise between
    (MeanFlow, Geng et al. 2025, arXiv:2505.13447, algorithm 2).

    Args:
        steps: how many jumps n, each of length 1 / n.
    """

    noises, no_likelihood = 1, Renoising.no_likelihood

    def __init__(self, steps):
        self.steps = self.evaluations = steps
        self.grid, self.times = time_grid(steps, 1.0), torch.full((steps,), 1 / steps)

    def __call__(self, velocity, z, adjoint=Adjoint()):
        return integrate(euler, velocity, z, self.grid, adjoint)

    def once(self, velocity, z):
        return integrate(euler, velocity, z, self.grid[:2], Adjoint(recompute=0))
