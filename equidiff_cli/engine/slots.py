"""Samples in work: a fixed number of slots, refilled as samples finish. No sample depends on its neighbours."""

import time
from collections import deque

import torch


class Slots:
    """The samples in work and those that wait; every tensor has one row a slot.

    `fill` and `advance` change everything or nothing: where one of them fails, it can be called again.

    Args:
        waiting: (index, seed) of every sample still to be started, in order.
        size: number of slots, samples in work at once.
        device: where the latents live; what only decides, `index`, `steps` and `seconds`, is on the CPU.
    """

    def __init__(self, waiting, size, device):
        self.waiting, self.size, self.device = deque(waiting), size, device
        self.index = torch.empty(0, dtype=torch.int64)
        self.steps = torch.empty(0, dtype=torch.int64)
        self.seconds = torch.empty(0, dtype=torch.float64)
        self.z0, self.state, self.best = None, {}, {}
        self.clock = time.perf_counter()

    @property
    def unfinished(self):
        """Whether a sample is in work or waits."""
        return len(self.index) + len(self.waiting) > 0

    def fill(self, noise, init):
        """Give free slots to waiting samples.

        Args:
            noise: seed -> starting noise (C, H, W).
            init: optimiser's state for latents (N, C, H, W).
        """
        free = min(self.size - len(self.index), len(self.waiting))
        if free > 0:
            new = list(self.waiting)[:free]
            z0 = torch.stack([noise(seed) for _, seed in new]).to(self.device)
            rows = (
                torch.cat([self.index, torch.tensor([index for index, _ in new])]),
                torch.cat([self.steps, self.steps.new_zeros(free)]),
                torch.cat([self.seconds, self.seconds.new_zeros(free)]),
                z0 if self.z0 is None else torch.cat([self.z0, z0]),
                _append(self.state, init(z0.clone())),
                _append(self.best, _unseen(self.best, free)),
            )
            self.index, self.steps, self.seconds, self.z0, self.state, self.best = rows
            for _ in new:
                self.waiting.popleft()
        self.clock = time.perf_counter()

    def advance(self, measured, z0, state, going):
        """Count one step, update the samples that go on and free the other slots.

        Args:
            measured: tensors, `loss` among them; of each sample, those with its lowest loss so far are kept.
            z0, state: latents and optimiser's state after the step.
            going: which samples go on, (N,) on the CPU.

        Returns (slot, best, seconds) of those that leave; tensors of `best` are on the CPU.
        """
        best = self._better({name: value.detach() for name, value in measured.items()})
        seconds = self.seconds + (time.perf_counter() - self.clock)
        leaving = [
            (slot, {name: value[slot].cpu() for name, value in best.items()}, seconds[slot].item())
            for slot in (~going).nonzero().flatten().tolist()
        ]
        index, steps = self.index, self.steps + 1
        if leaving:  # else nothing needs to move
            stay = going.nonzero().flatten()
            here = stay.to(self.device)
            z0, index, steps, seconds = z0[here], index[stay], steps[stay], seconds[stay]
            state, best = ({name: value[here] for name, value in rows.items()} for rows in (state, best))
        self.z0, self.state, self.best = z0, state, best
        self.index, self.steps, self.seconds = index, steps, seconds
        return leaving

    def _better(self, measured):
        """For every sample, what was measured now or before, whichever has the lower loss."""
        if not self.best:
            return measured
        loss = self.best["loss"]
        take = (measured["loss"] < loss) | loss.isnan()  # never measured: a broken start still has a picture to show
        return {
            name: torch.where(take.view(-1, *[1] * (value.ndim - 1)), value, self.best[name])
            for name, value in measured.items()
        }

    def save(self):
        """(tensors, facts) from which `restore` makes the same slots again."""
        tensors = {"index": self.index, "steps": self.steps, "seconds": self.seconds}
        tensors |= {"z0": self.z0} if self.z0 is not None else {}
        tensors |= {f"state.{name}": value for name, value in self.state.items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        facts = {"waiting": list(self.waiting), "size": self.size}
        return {name: value.contiguous().cpu() for name, value in tensors.items()}, facts

    def restore(self, tensors, facts):
        """Take up what `save` gave, however many slots there were then."""
        self.waiting = deque(tuple(pair) for pair in facts["waiting"])
        self.index, self.steps, self.seconds = tensors["index"], tensors["steps"], tensors["seconds"]
        self.z0 = tensors["z0"].to(self.device) if "z0" in tensors else None
        for part in ("state", "best"):
            mine = {name: value for name, value in tensors.items() if name.startswith(f"{part}.")}
            setattr(self, part, {name.split(".", 1)[1]: value.to(self.device) for name, value in mine.items()})


def _append(old, new):
    return {name: torch.cat([old[name], value]) if name in old else value for name, value in new.items()}


def _unseen(like, count):
    """Rows for samples that were never measured: a loss that is not a number, zeros elsewhere."""
    fill = {"loss": float("nan")}
    return {name: v.new_full((count, *v.shape[1:]), fill.get(name, 0)) for name, v in like.items()}
