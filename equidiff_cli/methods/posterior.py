"""Posterior sampling in one pass: at each step of the solver a control of the latent is optimised so that the picture
predicted from it has the value, then the step is taken from there, with some of its noise drawn anew.

Control of each step by several inner steps through the network: Pandey et al. 2025 (arXiv:2502.03686), which Rousselot
et al. 2026 (arXiv:2603.21782) take for pictures that a network cannot tell apart. `diverse=true` makes it the variant
whose samples repel each other, as Cohen et al. 2024 (arXiv:2310.16047) ask of posterior samples.
"""

import math

import torch

from equidiff_cli.errors import WrongRequest
from equidiff_cli.methods.onepass import OnePass
from equidiff_cli.parts.accepted import accepted
from equidiff_cli.prior.prior import sample_seed

STREAM = 2**33  # added to the number of a step: keeps its noise apart from that of restarts and of chains
LESS = 0.2  # share by which an inner step lessens the root of a penalty, which need not be 0 anywhere
LONGEST = 0.3  # the longest inner step, in norms of white noise, as `optimizer=gauss_newton` has it


def towards(loss, gradient, rate, longest):
    """The step rate 2 loss / |g|^2 g (n, C, H, W) towards a loss (n,) of 0, none longer than `longest`."""
    norm = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
    return ((rate * 2 * loss / norm).clamp_max(longest) / norm)[:, None, None, None] * gradient


class Posterior(OnePass):
    """From z at t to t' = t + dt, with a control u of z that begins at 0:

        repeat `inner` times:   u <- (1 - hold) u - rate 2 loss / |g|^2 g,    g = d loss(D(E)) / du
        E = y + (1 - t) v(y, t),   N = y - t v(y, t),   y = z + u             what is picture and what is noise in y
        z' = t' E + (1 - t') (sqrt(1 - c) N + sqrt(c) e),   e ~ N(0, I),   c = churn (1 - (t (1 - t') / (t' (1 - t)))^2)

    An inner step with rate 1 is that of Newton for the root of the loss (Polyak's), none longer than `LONGEST`. What is
    asked besides, such as to differ, takes a step of its own along the surface of equal value.

    Args:
        threshold: as of `OnePass`.
        inner: steps, each an evaluation of the network and one of the loss; the network is evaluated once more.
        rate: in (0, 1].
        hold: how far each inner step goes back to no control, in [0, 1).
        churn: the noise model, in [0, 1]. With 1, what is drawn anew is as much as ancestral sampling draws (Ho, Jain &
            Abbeel 2020, arXiv:2006.11239, eq. 7, with t and 1 - t for the shares), which keeps the law where steps are
            short; 0: nothing is.
    """

    solvers = ("euler",)
    name, settings = "posterior", "another method.rate, more method.inner"

    def __init__(self, threshold, *, inner, rate, hold, churn):
        super().__init__(threshold)
        self.inner, self.rate = accepted("method.inner", inner), accepted("method.rate", rate)
        self.hold, self.churn = accepted("method.hold", hold), accepted("method.churn", churn)
        self.asks = self.inner

    def suits(self, question, pictures):
        """`ValueError` for a question without a loss of 0 to step towards."""
        if getattr(question, "endless", False):
            raise WrongRequest("method=posterior: a value that is raised or lowered without end has no posterior")

    def control(self, one, z, i):
        """The control u (n, C, H, W) of latents at t_i."""
        u, longest = torch.zeros_like(z), LONGEST * math.sqrt(z[0].numel())
        for _ in range(self.inner):
            with torch.enable_grad():
                u.requires_grad_()
                y = z + u
                loss, penalty = one.ask(one.clean(y, i, one.velocity(y, i)))
                (gradient,) = torch.autograd.grad(loss.sum(), u, retain_graph=penalty is not None)
                besides = None if penalty is None else torch.autograd.grad(penalty.sum(), u)[0]
            step = towards(loss.detach(), gradient, self.rate, longest)
            if besides is not None:  # along the surface of equal value: neither undoes the other
                share = (besides * gradient).sum((1, 2, 3)) / gradient.square().sum((1, 2, 3)).clamp_min(1e-12)
                step = step + towards(penalty.detach(), besides - share[:, None, None, None] * gradient, LESS, longest)
            u = (1 - self.hold) * u.detach() - step
        return u

    def steered(self, one):
        """The velocity of a `Pass` with which an Euler step is the step above."""

        def velocity(z, i):
            u = self.control(one, z, i)
            v = one.velocity(z + u, i)
            now, after = one.time(i), one.time(i + 1)
            share = self.churn * (1 - (now * (1 - after) / (after * (1 - now))) ** 2)
            fresh = torch.stack([self.noise(one, seed, i) for seed in one.seeds]).to(z) if self.churn else 0
            changed = ((1 - share) ** 0.5 - 1) * (z + u - now * v) + share**0.5 * fresh
            return v + (u + (1 - after) * changed) / (after - now)

        return velocity

    @staticmethod
    def noise(one, seed, i):
        """Noise (C, H, W) of one sample at step i, from its own stream."""
        generator = torch.Generator().manual_seed(sample_seed(seed, STREAM + i))
        return torch.randn(one.prior.latent_shape, generator=generator)
