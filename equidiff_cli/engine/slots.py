"""Samples in work: a fixed number of slots, refilled as samples finish. No sample depends on its neighbours."""

import time
from collections import deque

import torch

from equidiff_cli.prior.prior import sample_seed

COUNTS = ("index", "seed", "steps", "stale", "restarts")  # whole numbers of every sample in work
PROGRESS = 0.9  # a loss below this share of that of the last progress is progress


class Slots:
    """The samples in work and those that wait; every tensor has one row a slot.

    `fill` and `advance` change everything or nothing: where one of them fails, it can be called again.

    Args:
        waiting: (index, seed) of every sample still to be started, in order.
        size: number of slots, samples in work at once.
        device: where the latents live; what only decides is on the CPU: `COUNTS`, `seconds`, and `mark`, the loss at
            the last progress.
    """

    def __init__(self, waiting, size, device):
        self.waiting, self.size, self.device = deque(waiting), size, device
        for name in COUNTS:
            setattr(self, name, torch.empty(0, dtype=torch.int64))
        self.mark = torch.empty(0)
        self.seconds = torch.empty(0, dtype=torch.float64)
        self.z0, self.state, self.best = None, {}, {}
        self.clock = time.perf_counter()

    @property
    def unfinished(self):
        """Whether a sample is in work or waits."""
        return len(self.index) + len(self.waiting) > 0

    def fill(self, noise, init, patience=None):
        """Give free slots to waiting samples, and other noise to samples that are stuck.

        Args:
            noise: seed -> starting noise (C, H, W).
            init: optimiser's state for latents (N, C, H, W).
            patience: steps without progress after which a sample is stuck; None: none ever is.
        """
        if patience is not None and (self.stale >= patience).any():
            self._restart((self.stale >= patience).nonzero().flatten().tolist(), noise, init)
        free = min(self.size - len(self.index), len(self.waiting))
        if free > 0:
            new = list(self.waiting)[:free]
            z0 = torch.stack([noise(seed) for _, seed in new]).to(self.device)
            rows = (
                torch.cat([self.index, torch.tensor([index for index, _ in new])]),
                torch.cat([self.seed, torch.tensor([seed for _, seed in new])]),
                *(torch.cat([count, count.new_zeros(free)]) for count in (self.steps, self.stale, self.restarts)),
                torch.cat([self.mark, self.mark.new_full((free,), float("inf"))]),
                torch.cat([self.seconds, self.seconds.new_zeros(free)]),
                z0 if self.z0 is None else torch.cat([self.z0, z0]),
                _append(self.state, init(z0.clone())),
                _append(self.best, _unseen(self.best, free)),
            )
            (*counts, self.mark, self.seconds, self.z0, self.state, self.best) = rows
            for name, count in zip(COUNTS, counts, strict=True):
                setattr(self, name, count)
            for _ in new:
                self.waiting.popleft()
        self.clock = time.perf_counter()

    def _restart(self, stuck, noise, init):
        """Fresh noise of their own streams for the slots `stuck`; their steps and their best pair stay."""
        seeds = [sample_seed(self.seed[slot].item(), self.restarts[slot].item() + 1) for slot in stuck]
        fresh = torch.stack([noise(seed) for seed in seeds]).to(self.device)
        z0, where = self.z0.clone(), torch.tensor(stuck)
        z0[where.to(self.device)] = fresh
        state = {name: value.clone() for name, value in self.state.items()}
        for name, value in init(fresh).items():
            state[name][where.to(self.device)] = value
        restarts, stale, mark = self.restarts.clone(), self.stale.clone(), self.mark.clone()
        restarts[where], stale[where], mark[where] = restarts[where] + 1, 0, float("inf")
        self.z0, self.state, self.restarts, self.stale, self.mark = z0, state, restarts, stale, mark

    def advance(self, measured, z0, state, going, loss=None, take=None):
        """Count one step, update the samples that go on and free the other slots.

        Args:
            measured: tensors, `loss` among them; of each sample, those with its lowest loss so far are kept.
            z0, state: latents and optimiser's state after the step.
            going: which samples go on, (N,) on the CPU.
            loss: that of `measured` where it is on the CPU already, so that nothing waits for the device.
            take: rows (N,) of `measured` that are kept whatever their loss; None: none.

        Returns (slot, best, seconds) of those that leave; tensors of `best` are on the CPU.
        """
        best = self._better({name: value.detach() for name, value in measured.items()}, take)
        seconds = self.seconds + (time.perf_counter() - self.clock)
        leaving = [
            (slot, {name: value[slot].cpu() for name, value in best.items()}, seconds[slot].item())
            for slot in (~going).nonzero().flatten().tolist()
        ]
        loss = measured["loss"].detach().float().cpu() if loss is None else loss
        progress = loss < PROGRESS * self.mark
        mark, stale = torch.where(progress, loss, self.mark), torch.where(progress, 0, self.stale + 1)
        rows = [self.index, self.seed, self.steps + 1, stale, self.restarts, mark, seconds]
        if leaving:  # else nothing needs to move
            stay = going.nonzero().flatten()
            here = stay.to(self.device)
            z0, rows = z0[here], [row[stay] for row in rows]
            state, best = ({name: value[here] for name, value in rows.items()} for rows in (state, best))
        self.z0, self.state, self.best = z0, state, best
        self.index, self.seed, self.steps, self.stale, self.restarts, self.mark, self.seconds = rows
        return leaving

    def _better(self, measured, always=None):
        """For every sample, what was measured now or before, whichever has the lower loss; now for `always` (N,)."""
        if not self.best:
            return measured
        loss = self.best["loss"]
        take = (measured["loss"] < loss) | loss.isnan()  # never measured: a broken start still has a picture to show
        take = take if always is None else take | always
        return {
            name: torch.where(take.view(-1, *[1] * (value.ndim - 1)), value, self.best[name])
            for name, value in measured.items()
        }

    def save(self):
        """(tensors, facts) from which `restore` makes the same slots again."""
        tensors = {name: getattr(self, name) for name in (*COUNTS, "mark", "seconds")}
        tensors |= {"z0": self.z0} if self.z0 is not None else {}
        tensors |= {f"state.{name}": value for name, value in self.state.items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        facts = {"waiting": list(self.waiting), "size": self.size}
        return {name: value.contiguous().cpu() for name, value in tensors.items()}, facts

    def restore(self, tensors, facts):
        """Take up what `save` gave, however many slots there were then."""
        self.waiting = deque(tuple(pair) for pair in facts["waiting"])
        for name in (*COUNTS, "mark", "seconds"):
            setattr(self, name, tensors[name])
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
