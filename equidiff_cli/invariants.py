"""The algorithm: optimise starting noise until the target cannot tell the picture from the query.

`sample` is a generator of events. Scheduling lives in `slots.py`, memory in `memory.py`, the optimisers in `optim.py`,
files in `rundir.py`.
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
        if not callable(objective):
            raise ValueError(f"objective: must be a function of pictures, is {type(objective).__name__}")
        self.objective, self.distance, self.lowpass = objective, distance, lowpass
        self.scale = 1.0
        with torch.no_grad():
            values = objective(query)
        if not isinstance(values, torch.Tensor) or values.ndim != 2 or len(values) != len(query):
            raise ValueError(f"objective: must give values (N, K), gave {getattr(values, 'shape', type(values))}")
        with torch.enable_grad():
            if not objective(query.detach().requires_grad_().clone()).requires_grad:
                raise ValueError("objective: its values cannot be differentiated; no argmax, detach or no_grad in it")
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


def sample(prior, invariance, optimizer, slots, memory, *, steps, threshold):
    """Draw members of the invariant set; yields a `Finished` for every sample that leaves, a `Step` for every step.

    Args:
        prior: `Prior`; starting noise -> latents -> pictures.
        invariance: `Invariance`; pictures -> losses.
        optimizer: of `optim.py`.
        slots: `Slots`, the samples in work and those that wait.
        memory: `Memory`, how many samples pass through the networks together; a step that does not fit is tried again.
        steps: budget B, evaluations of the loss a sample.
        threshold: tau; a sample is finished when its loss is below.
    """

    def step():
        slots.fill(prior.noise, optimizer.init)  # lines 1, 3
        last = slots.steps + 1 == steps
        parts = zip(slots.z0.split(memory.plan.batch), last.split(memory.plan.batch), strict=True)
        measured, grad, status = joined([evaluate(prior, invariance, *part, threshold) for part in parts])  # lines 5-13
        z0, state = optimizer.step(slots.z0, grad, slots.state)  # line 13
        norms = torch.stack([v.flatten(1).norm(dim=1) for v in (grad, slots.z0)])
        losses = torch.stack([measured[name] for name in ("loss", "loss_unfiltered", "loss_filtered")])
        numbers = torch.cat([losses, norms]).cpu()  # waits for the device a second time, for the check of the gradient
        status[(status == GOING) & ~numbers[3].isfinite()] = NONFINITE
        index, step = slots.index.tolist(), (slots.steps + 1).tolist()
        leaving = slots.advance(measured, z0, state, status == GOING)
        finished = [Finished(index[i], STATUS[status[i]], step[i], seconds, best) for i, best, seconds in leaving]
        return [*finished, Step(index, step, *numbers.tolist(), slots)]

    while slots.unfinished:
        yield from memory.attempt(step)


GOING, CONVERGED, BUDGET, NONFINITE = range(4)
STATUS = ("going", "converged", "budget", "nonfinite")


def evaluate(prior, invariance, z0, last, threshold):
    """Lines 5-12 and the gradient of line 13, for some of the samples.

    Args:
        z0: starting noise (n, C, H, W).
        last: whether the budget allows no further evaluation, (n,) on the CPU.

    Returns what was measured, tensors of n rows on the device; d loss / d z0, zeros where no sample goes on; and what
    becomes of each sample, (n,) on the CPU.
    """
    with torch.set_grad_enabled(not last.all()):
        z0 = z0.detach().requires_grad_()
        z = prior.flow(z0)  # lines 5-7
        x = prior.decode(z)  # line 8
        unfiltered, filtered, values, values_filtered = invariance(x)  # lines 9-10
        loss = unfiltered + filtered  # line 11, scaled
    known = loss.detach().cpu()  # line 12 waits for the device
    status = torch.where(known < threshold, CONVERGED, torch.where(last, BUDGET, GOING))
    status[~known.isfinite()] = NONFINITE
    going = (status == GOING).any()
    grad = torch.autograd.grad(loss.sum(), z0)[0] if going else torch.zeros_like(z0)  # a sum: samples are independent
    measured = dict(
        loss=loss,
        loss_unfiltered=unfiltered,
        loss_filtered=filtered,
        objective=values,
        objective_filtered=values_filtered,
        z_start=z0,
        z=z,
        picture=x,
    )
    return {name: value.detach() for name, value in measured.items()}, grad, status


def joined(parts):
    """The results of `evaluate` for parts of the samples as one."""
    if len(parts) == 1:
        return parts[0]
    measured, grads, statuses = zip(*parts, strict=True)
    rows = {name: torch.cat([part[name] for part in measured]) for name in measured[0]}
    return rows, torch.cat(grads), torch.cat(statuses)
