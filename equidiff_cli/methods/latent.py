"""The algorithm: optimise starting noise until the target cannot tell the picture from the query.

`Latent` is a generator of events. Who shares the device is decided in `engine/`, the optimisers are in
`parts/optimizers.py`, the losses in `parts/questions.py`; files and terminals are not known here.
"""

import torch

from equidiff_cli.methods.events import BUDGET, CONVERGED, GOING, NONFINITE, STATUS, Finished, Step
from equidiff_cli.prior.sampler import Adjoint


class Latent:
    """Lines 3-14: members of the invariant set by descent on the starting noise, through the whole sampler.

    Args:
        optimizer: of `parts/optimizers.py`.
        steps: budget B, evaluations of the loss a sample.
        threshold: tau; a sample is finished when its loss is below.
    """

    def __init__(self, optimizer, steps, threshold):
        self.optimizer, self.steps, self.threshold = optimizer, steps, threshold

    def __call__(self, prior, question, slots, memory):
        """Draw the samples in `slots`; yields a `Finished` for every sample that leaves, a `Step` for every step.

        Args:
            prior: `Prior`; starting noise -> latents -> pictures.
            question: of `parts/questions.py`; pictures -> losses.
            slots: `Slots`, the samples in work and those that wait.
            memory: `Memory`, how many samples pass through the networks together; a step that does not fit is tried
                again.
        """

        def step():
            slots.fill(prior.noise, self.optimizer.init)  # lines 1, 3
            last = slots.steps + 1 == self.steps
            parts = zip(slots.z0.split(memory.plan.batch), last.split(memory.plan.batch), strict=True)
            adjoint = memory.plan.adjoint
            measured, grad, status = joined(
                [evaluate(prior, question, *part, self.threshold, adjoint) for part in parts]  # lines 5-13
            )
            state = {name: value.clone() for name, value in slots.state.items()}  # it may be a user's own, in place
            z0, state = self.optimizer.step(slots.z0.clone(), grad.clone(), state)  # line 13
            norms = torch.stack([v.flatten(1).norm(dim=1) for v in (grad, slots.z0)])
            losses = torch.stack([measured[name] for name in ("loss", "loss_unfiltered", "loss_filtered")])
            numbers = torch.cat([losses, norms]).cpu()  # waits for the device again, for the check of the gradient
            status[(status == GOING) & ~numbers[3].isfinite()] = NONFINITE
            index, count = slots.index.tolist(), (slots.steps + 1).tolist()
            leaving = slots.advance(measured, z0, state, status == GOING)
            finished = [
                Finished(index[i], STATUS[status[i]], count[i], count[i] * prior.evaluations, seconds, best)
                for i, best, seconds in leaving
            ]
            return [*finished, Step(index, count, *numbers.tolist())]

        while slots.unfinished:
            yield from memory.attempt(step)


def evaluate(prior, question, z0, last, threshold, adjoint=Adjoint()):
    """Lines 5-12 and the gradient of line 13, for some of the samples.

    Args:
        z0: starting noise (n, C, H, W).
        last: whether the budget allows no further evaluation, (n,) on the CPU.
        adjoint: `Adjoint`, how to differentiate through sampler and decoder.

    Returns what was measured, tensors of n rows on the device; d loss / d z0, zeros where no sample goes on; and what
    becomes of each sample, (n,) on the CPU.
    """
    with torch.set_grad_enabled(not last.all()):
        z0 = z0.detach().requires_grad_()
        z = prior.flow(z0, adjoint)  # lines 5-7
        x = prior.decode(z, adjoint)  # line 8
        unfiltered, filtered, values, values_filtered = question(x.clone())  # lines 9-10
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
