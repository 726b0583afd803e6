"""The run's objective as what attribution methods take: one number a picture, a function of the network's own input."""

from contextlib import contextmanager

import torch
from torch import nn

from equidiff_cli.engine.device import exact
from equidiff_cli.parts.wrapped import Evidence
from equidiff_cli.request.terms import All
from equidiff_cli.target.copies import Copied
from equidiff_cli.target.layers import scripted
from equidiff_cli.target.target import Target


class Forward(nn.Module):
    """Inputs of the target's network (N, C, h, w) -> the explained number (N,), in null spreads.

    Of an objective of several values it is their component along `direction`: still the same number on all members. The
    target's preprocessing is left out, so that attributions lie on what the network sees, but for objectives that do
    more with a picture than to show it to this target, see `of_input`: those are functions of the picture.

    Args:
        objective: pictures (N, 3, H, W) -> values (N, K).
        target: what it was built on.
        direction: (K,), what the values are multiplied with and summed.
        columns: which of the objective's values those K are; None: all.
    """

    def __init__(self, objective, target, direction, columns=None):
        super().__init__()
        self.parts, self.direction, self.columns = (objective, target), direction, columns
        model = getattr(target, "model", None)
        self.model = model if isinstance(model, nn.Module) and not scripted(model) else None
        self.bare = isinstance(target, Target) and of_input(objective, target)  # is the preprocessing left out?

    def forward(self, inputs):
        objective, _ = self.parts
        with self._without_preprocessing():
            values = objective(inputs)
            values = values if self.columns is None else values[:, self.columns]
            return values @ self.direction.to(inputs.device)

    @contextmanager
    def _without_preprocessing(self):
        target = self.parts[1]
        if not self.bare:
            yield
            return
        transform, target.transform = target.transform, nn.Identity()
        try:
            yield
        finally:
            target.transform = transform

    @torch.no_grad()
    def enter(self, pictures):
        """What the network takes, (N, C, h, w), for pictures (N, 3, H, W) in [0, 1]."""
        return self.parts[1].transform(pictures.clone()) if self.bare else pictures

    @torch.no_grad()
    def measure(self, inputs, batch):
        """The number (N,) for inputs, `batch` at a time, on the CPU."""
        with exact():
            return torch.cat([self(part).float().cpu() for part in inputs.split(batch)])

    def back(self, attributions, shape):
        """Attributions (N, C, h, w) or (N, 1, h, w) to inputs as maps (N, H, W) on pictures of a shape (3, H, W).

        What an input pixel was given goes to the pixels of the picture that it was computed from, in their shares: the
        transposed preprocessing, whose rows are scaled to sum to one. So totals stay the same.
        """
        if not self.bare:
            return attributions.sum(1)
        transform = self.parts[1].transform
        with torch.no_grad():  # on grey nothing is clamped, and a preprocessing is linear
            levels = torch.tensor([0.25, 0.75]).view(2, 1, 1, 1).expand(2, *shape).clone()
            low, high = transform(levels)
        rows = (high - low) / 0.5  # (C, h, w), what the rows sum to
        shared = attributions.expand(-1, len(rows), -1, -1) / (len(rows) / attributions.shape[1])
        shared = torch.where(rows == 0, 0, shared / rows)
        grey = torch.full((len(attributions), *shape), 0.5, requires_grad=True)
        with torch.enable_grad():
            (found,) = torch.autograd.grad(transform(grey.clone()), grey, shared)
        return found.sum(1)


def direction_of(values, query):
    """What makes one number of K values, in null spreads: the sign of one value, else the direction (K,) from the mean
    of unguided samples to the query, each divided by the standard deviation of the number over unguided samples.

    Args:
        values: of unguided samples, (M, K).
        query: (K,).
    """
    if values.shape[1] == 1:
        direction = torch.ones(1)
    else:
        away = query - values.mean(0)
        direction = away / away.norm().clamp_min(1e-12)
    spread = (values @ direction).std()
    if not spread > 0:
        raise ValueError("the explained value is the same for all unguided samples: it has no unit")
    return direction / spread


def of_input(objective, target):
    """Whether an objective is a function of the target's own input: not a user's, which may do anything with a picture,
    nor the evidence of a region, whose mask lies on the picture, nor several with a target of their own.
    """
    if isinstance(objective, All):
        return all(term.target is target and of_input(term.objective, target) for term in objective.terms)
    ours = type(objective).__module__.startswith("equidiff_cli.")
    return ours and not isinstance(objective, (Copied, Evidence))
