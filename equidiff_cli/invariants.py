"""The algorithm: optimise starting noise until the target cannot tell the picture from the query.

`sample` is a generator of events. Scheduling lives in `slots.py`, the optimisers in `optim.py`, files in `rundir.py`.
"""

from dataclasses import dataclass

import torch

from equidiff_cli.slots import Slots


class Invariance:
    """Lines 9-11: how far pictures are from the invariant set of the query.

    Args:
        objective: pictures (N, 3, H, W) in [0, 1] -> values (N, K).
        distance: values (N, K) and target values (K,) -> (N,), non-negative.
        lowpass: the filter F, pictures -> pictures.
        query: the query (1, 3, H, W) in [0, 1]; its values are the target (line 2).
    """

    def __init__(self, objective, distance, lowpass, query):
        self.objective, self.distance, self.lowpass = objective, distance, lowpass
        self.scale = 1.0
        with torch.no_grad():
            values = objective(query)
        if not isinstance(values, torch.Tensor) or values.ndim != 2 or len(values) != len(query):
            raise ValueError(f"objective: must give values (N, K), gave {getattr(values, 'shape', type(values))}")
        self.target = values[0].float()

    @torch.no_grad()
    def spread(self, pictures, batch):
        """The mean distance of the objective on `pictures` (M, 3, H, W) to its own mean; for squared l2, the variance.

        On unguided samples this is what chance gives, the unit in which losses are comparable between objectives.
        """
        values = torch.cat([self.objective(part) for part in pictures.split(batch)]).float()
        return self.distance(values, values.mean(0)).mean().item()

    def __call__(self, x):
        """Losses of pictures (N, 3, H, W), scaled: unfiltered (N,), filtered (N,), and the values (N, K) of both."""
        values, filtered = self.objective(torch.cat([x, self.lowpass(x)])).float().chunk(2)  # one pass for both
        return (
            self.scale * self.distance(values, self.target),
            self.scale * self.distance(filtered, self.target),
            values,
            filtered,
        )


@dataclass(frozen=True)
class Step:
    """Every sample in the slots was measured once and, unless it is finished, updated; lists have one entry a slot."""

    index: list[int]
    step: list[int]
    loss: list[float]
    loss_unfiltered: list[float]
    loss_filtered: list[float]
    grad_norm: list[float]
    latent_norm: list[float]
    slots: Slots


@dataclass(frozen=True)
class Finished:
    """A sample left its slot with the best pair it saw; tensors are on the CPU, without a batch dimension."""

    index: int
    status: str
    steps: int
    seconds: float
    best: dict


def sample(prior, invariance, optimizer, slots, *, steps, threshold):
    """Draw members of the invariant set; yields a `Step` for every step and a `Finished` for every sample.

    Args:
        prior: `Prior`; starting noise -> latents -> pictures.
        invariance: `Invariance`; pictures -> losses.
        optimizer: of `optim.py`.
        slots: `Slots`, the samples in work and those that wait.
        steps: budget B, evaluations of the loss a sample.
        threshold: tau; a sample is finished when its loss is below.
    """
    while slots.fill(prior.noise, optimizer.init):  # lines 1, 3
        with torch.enable_grad():
            z0 = slots.z0.detach().requires_grad_()
            z = prior.flow(z0)  # lines 5-7
            x = prior.decode(z)  # line 8
            unfiltered, filtered, values, values_filtered = invariance(x)  # lines 9-10
            loss = unfiltered + filtered  # line 11, scaled
        slots.record(
            loss=loss,
            loss_unfiltered=unfiltered,
            loss_filtered=filtered,
            objective=values,
            objective_filtered=values_filtered,
            z_start=z0,
            z=z,
            picture=x,
        )
        converged, broken = loss < threshold, ~loss.isfinite()  # line 12
        going = ~converged & ~broken & (slots.steps < steps)
        grad = gradient(loss, z0, going)  # line 13
        grad_norm, latent_norm = (v.flatten(1).norm(dim=1) for v in (grad, z0.detach()))
        broken |= going & ~grad_norm.isfinite()
        going &= ~broken
        z_next, state = optimizer.step(z0.detach(), grad, slots.state)
        numbers = torch.stack([loss, unfiltered, filtered, grad_norm, latent_norm]).detach().tolist()
        index, step = slots.index.tolist(), slots.steps.tolist()
        status = torch.where(broken, 2, torch.where(converged, 0, 1)).tolist()
        leaving = slots.advance(z_next, state, going)
        for slot, best, seconds in leaving:
            yield Finished(index[slot], STATUS[status[slot]], step[slot], seconds, best)
        yield Step(index, step, *numbers, slots)


STATUS = ("converged", "budget", "nonfinite")


def gradient(loss, z0, going):
    """d loss / d z0 of the samples that go on, zero elsewhere; nothing is computed if none does.

    Samples are independent, so the gradient of the sum holds each sample's own gradient.
    """
    if not going.any():
        return torch.zeros_like(z0)
    grad = torch.autograd.grad(loss[going].sum(), z0)[0]
    return torch.where(going[:, None, None, None], grad, 0.0)
