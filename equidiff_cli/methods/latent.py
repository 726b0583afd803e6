"""The algorithm: optimise starting noise until the target cannot tell the picture from the query.

`Latent` is a generator of events. Who shares the device is decided in `engine/`, the optimisers are in
`parts/optimizers.py`, the losses in `parts/questions.py`; files and terminals are not known here.
"""

import torch

from equidiff_cli.methods.events import BUDGET, CONVERGED, GOING, NONFINITE, STATUS, Finished, Step
from equidiff_cli.parts.newton import Linear
from equidiff_cli.prior.sampler import Adjoint

ROUNDINGS = 16  # of a picture near the threshold, tried at most


class Latent:
    """Lines 3-14: members of the invariant set by descent on the starting noise, through the whole sampler.

    Args:
        optimizer: of `parts/optimizers.py`.
        steps: budget B, evaluations of the loss a sample.
        threshold: tau; a sample is finished when its loss is below.
        patience: evaluations without progress after which a sample starts again from other noise of its own; None: it
            never does. They all count towards the budget, and the best pair of all of them is what leaves.
        pad: whether batches are filled up to their full size by repeated samples, so that the numbers of a sample do
            not even in their last bits depend on how many others are in work.
    """

    def __init__(self, optimizer, steps, threshold, patience=None, pad=False):
        self.optimizer, self.steps, self.threshold, self.patience = optimizer, steps, threshold, patience
        self.pad = pad

    def __call__(self, prior, question, slots, memory):
        """Draw the samples in `slots`; yields a `Finished` for every sample that leaves, a `Step` for every step.

        Args:
            prior: `Prior`; starting noise -> latents -> pictures.
            question: of `parts/questions.py`; pictures -> losses.
            slots: `Slots`, the samples in work and those that wait.
            memory: `Memory`, how many samples pass through the networks together; a step that does not fit is tried
                again.
        """

        rows = getattr(self.optimizer, "rows", None)  # what a second-order optimiser asks for besides a gradient

        def step():
            slots.fill(prior.noise, self.optimizer.init, self.patience)  # lines 1, 3
            last = slots.steps + 1 == self.steps
            adjoint, size = memory.plan.adjoint, memory.plan.batch
            parts = [of_each.split(size) for of_each in (slots.seed, slots.z0, last)]
            if self.pad:
                parts = [[*full, repeated(rest, size)] for *full, rest in parts]
            measured, slope, status = joined(
                [
                    evaluate(prior.of(seed), question, *part, self.threshold, adjoint, rows)  # lines 5-13
                    for seed, *part in zip(*parts, strict=True)
                ],
                len(slots.index),
            )
            state = {name: value.clone() for name, value in slots.state.items()}  # it may be a user's own, in place
            z0, state = self.optimizer.step(slots.z0.clone(), slope if rows else slope.clone(), state)  # line 13
            norms = torch.stack([v.flatten(1).norm(dim=1) for v in (slope.gradient if rows else slope, slots.z0)])
            losses = torch.stack([measured[name] for name in ("loss", "loss_unfiltered", "loss_filtered")])
            numbers = torch.cat([losses, norms]).cpu()  # waits for the device again, for the check of the gradient
            status[(status == GOING) & ~numbers[3].isfinite()] = NONFINITE
            index, count = slots.index.tolist(), (slots.steps + 1).tolist()
            restarts = slots.restarts.tolist()
            leaving = slots.advance(measured, z0, state, status == GOING, numbers[0])
            finished = [
                Finished(
                    index[i], STATUS[status[i]], count[i], count[i] * prior.evaluations, seconds, best, restarts[i]
                )
                for i, best, seconds in leaving
            ]
            return [*finished, Step(index, count, *numbers.tolist())]

        while slots.unfinished:
            yield from memory.attempt(step)


def evaluate(prior, question, z0, last, threshold, adjoint=Adjoint(), rows=None):
    """Lines 5-12 and the gradient of line 13, for some of the samples.

    Args:
        z0: starting noise (n, C, H, W).
        last: whether the budget allows no further evaluation, (n,) on the CPU.
        adjoint: `Adjoint`, how to differentiate through sampler and decoder.
        rows: residuals (n, K) -> those (n, R) whose Jacobian is wanted; None: the gradient of the loss will do.

    Returns what was measured, tensors of n rows on the device; d loss / d z0 or the `Linear` of the residuals, with
    zeros where no sample goes on; and what becomes of each sample, (n,) on the CPU.
    """
    with torch.set_grad_enabled(not last.all()):
        z0 = z0.detach().requires_grad_()
        z = prior.flow(z0, adjoint)  # lines 5-7
        x = prior.decode(z, adjoint)  # line 8
        parts = question(x.clone())  # lines 9-10
        known = (parts[0] + parts[1]).detach().cpu()  # line 12 waits for the device
        if (near := known < threshold).any():  # they leave if their files agree
            filed = rounded(prior, question, x, near, threshold)
            x = torch.where(near.to(x.device).view(-1, *[1] * (x.ndim - 1)), filed, x)
            parts = parts[4:]  # a penalty is of all samples: it stays; what else was kept for the gradient is let go
            parts = [*question(x.clone())[:4], *parts]
            known = (parts[0] + parts[1]).detach().cpu()
        unfiltered, filtered, values, filtered_values, *besides = parts
        loss = unfiltered + filtered  # line 11, scaled
        penalty = sum(more.square().sum(1) for more in besides)  # 0 without any; no part of what is reached
    status = torch.where(known < threshold, CONVERGED, torch.where(last, BUDGET, GOING))
    status[~known.isfinite()] = NONFINITE
    going = (status == GOING).any()
    if rows:
        with torch.set_grad_enabled(loss.requires_grad):
            residuals = rows(question.residuals(values, filtered_values))
            residuals = torch.cat([residuals, *map(lessened, besides)], dim=1)
        slope = linear(residuals, z0, going)
    else:  # samples are independent: their sum will do
        slope = torch.autograd.grad((loss + penalty).sum(), z0)[0] if going else torch.zeros_like(z0)
    measured = dict(
        loss=loss,
        loss_unfiltered=unfiltered,
        loss_filtered=filtered,
        objective=values,
        objective_filtered=filtered_values,
        z_start=z0,
        z=z,
        picture=question.shown(x) if hasattr(question, "shown") else x,
        **({"penalty": penalty} if besides else {}),
    )
    return {name: value.detach() for name, value in measured.items()}, slope, status


def rounded(prior, question, x, near, threshold):
    """Pictures x (n, 3, H, W) as their files have them: of several roundings each that with the lowest loss.

    A rounding moves the loss by more than what is left of it near the threshold, and costs a pass of the target alone.
    No more are tried once all samples that are `near` (n,) are below the threshold.
    """
    best, lowest = None, torch.full((len(x),), torch.inf, device=x.device)
    for number in range(1 if prior.levels is None else ROUNDINGS):
        filed = prior.filed(x, number)
        with torch.no_grad():
            unfiltered, filtered, *_ = question(filed.clone())
        loss = (unfiltered + filtered).nan_to_num(torch.inf)
        better = (loss < lowest).view(-1, *[1] * (x.ndim - 1))
        best = filed if best is None else torch.where(better, filed, best)
        lowest = torch.minimum(loss, lowest)
        if (lowest.cpu()[near] < threshold).all():
            break
    return best


def lessened(besides):
    """Residuals (N, P) of a penalty as a second-order optimiser takes them: a fifth less, for 0 may be nowhere."""
    return besides - 0.8 * besides.detach()


def linear(residuals, z0, going):
    """`Linear` of residuals (n, R) in z0, a backward pass a column: a sum, for samples are independent."""
    if not going:
        return Linear(residuals.detach(), z0.new_zeros(*residuals.shape, *z0.shape[1:]))
    columns = residuals.unbind(1)
    jacobian = [torch.autograd.grad(c.sum(), z0, retain_graph=c is not columns[-1])[0] for c in columns]
    return Linear(residuals.detach(), torch.stack(jacobian, 1))


def repeated(rows, size):
    """`size` rows: those (n, ...) that there are, and the last of them again."""
    return torch.cat([rows, rows[-1:].expand(size - len(rows), *rows.shape[1:])])


def joined(parts, count=None):
    """The results of `evaluate` for parts of the samples as one, for the first `count` of them, or all."""
    measured, slopes, statuses = zip(*parts, strict=True)
    rows = {name: torch.cat([part[name] for part in measured])[:count] for name in measured[0]}
    if isinstance(slopes[0], Linear):
        slope = Linear(*(torch.cat(of_each)[:count] for of_each in zip(*slopes, strict=True)))
    else:
        slope = torch.cat(slopes)[:count]
    return rows, slope, torch.cat(statuses)[:count]
