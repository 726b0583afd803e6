"""Samples in work: a fixed number of slots, refilled as samples finish. No sample depends on its neighbours."""

import time
from collections import deque

import torch


class Slots:
    """The samples in work and those that wait; every tensor has one row a slot.

    Args:
        waiting: (index, seed) of every sample still to be started, in order.
        size: number of slots, samples optimised at once.
        device: where the latents live.
    """

    def __init__(self, waiting, size, device):
        self.waiting, self.size, self.device = deque(waiting), size, device
        self.index = torch.empty(0, dtype=torch.int64)
        self.steps = torch.empty(0, dtype=torch.int64, device=device)
        self.seconds = torch.empty(0, dtype=torch.float64)
        self.z0, self.state, self.best = None, {}, {}
        self.clock = time.perf_counter()

    def fill(self, noise, init):
        """Give free slots to waiting samples; return how many slots are in use.

        Args:
            noise: seed -> starting noise (C, H, W).
            init: optimiser's state for latents (N, C, H, W).
        """
        free = min(self.size - len(self.index), len(self.waiting))
        if free > 0:
            new = [self.waiting.popleft() for _ in range(free)]
            z0 = torch.stack([noise(seed) for _, seed in new]).to(self.device)
            self.index = torch.cat([self.index, torch.tensor([index for index, _ in new])])
            self.steps = torch.cat([self.steps, torch.zeros(free, dtype=torch.int64, device=self.device)])
            self.seconds = torch.cat([self.seconds, torch.zeros(free, dtype=torch.float64)])
            self.state = _append(self.state, init(z0))
            self.best = _append(self.best, _unseen(self.best, free))
            self.z0 = z0 if self.z0 is None else torch.cat([self.z0, z0])
        self.clock = time.perf_counter()
        return len(self.index)

    def record(self, **measured):
        """Count one step and keep, for every sample, what was measured where its loss is the lowest so far."""
        self.steps = self.steps + 1
        measured = {name: value.detach() for name, value in measured.items()}
        if not self.best:
            self.best = _unseen(measured, len(self.index))
        better = measured["loss"] < self.best["loss"]
        first = self.steps == 1  # a sample that starts non-finite still has a picture to show
        take = better | first
        self.best = {
            name: torch.where(take.view(-1, *[1] * (value.ndim - 1)), value, self.best[name])
            for name, value in measured.items()
        }

    def advance(self, z0, state, going):
        """Update the samples that go on and free the other slots.

        Returns (slot, best, seconds) of those that leave; tensors of `best` are on the CPU.
        """
        self.seconds = self.seconds + (time.perf_counter() - self.clock)
        going = going.cpu()
        leave, stay = (~going).nonzero().flatten(), going.nonzero().flatten()
        leaving = [
            (slot, {name: value[slot].cpu() for name, value in self.best.items()}, self.seconds[slot].item())
            for slot in leave.tolist()
        ]
        self.index, self.seconds, here = self.index[stay], self.seconds[stay], stay.to(self.device)
        self.z0, self.steps = z0[here], self.steps[here]
        self.state = {name: value[here] for name, value in state.items()}
        self.best = {name: value[here] for name, value in self.best.items()}
        return leaving

    def save(self):
        """(tensors, facts) from which `restore` makes the same slots again."""
        tensors = {"index": self.index, "steps": self.steps, "seconds": self.seconds, "z0": self.z0}
        tensors |= {f"state.{name}": value for name, value in self.state.items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        return {name: value.contiguous().cpu() for name, value in tensors.items()}, {"waiting": list(self.waiting)}

    def restore(self, tensors, facts):
        """Take up what `save` gave."""
        self.waiting = deque(tuple(pair) for pair in facts["waiting"])
        self.index, self.seconds = tensors["index"], tensors["seconds"]
        self.steps, self.z0 = tensors["steps"].to(self.device), tensors["z0"].to(self.device)
        for part in ("state", "best"):
            mine = {name: value for name, value in tensors.items() if name.startswith(f"{part}.")}
            setattr(self, part, {name.split(".", 1)[1]: value.to(self.device) for name, value in mine.items()})


def _append(old, new):
    return {name: torch.cat([old[name], value]) if name in old else value for name, value in new.items()}


def _unseen(like, count):
    """Rows for samples that were never measured: infinite loss, zeros elsewhere."""
    fill = {"loss": float("inf")}
    return {name: v.new_full((count, *v.shape[1:]), fill.get(name, 0)) for name, v in like.items()}
