"""When the state of an unfinished run is saved: often enough to lose little, seldom enough to cost little."""

import time
from dataclasses import asdict

SECONDS = 10.0  # between saves while no sample finishes
SHARE = 0.02  # of the time that saving may take, at most


class Persistence:
    """Saves all that a run needs to go on: the samples in work, the plan for memory, the spread, the time used.

    Args:
        run: `RunDir` to save into.
        slots: `Slots`.
        memory: `Memory`.
        asked: what the plan was settled for, the values of `batch` and `checkpoint`.
        spread: the objective's spread over unguided samples.
        began: when the run would have begun had it never been stopped, on `time.monotonic`'s clock.
    """

    def __init__(self, run, slots, memory, asked, spread, began):
        self.run, self.slots, self.memory, self.asked, self.spread = run, slots, memory, asked, spread
        self.began = began
        self.save()

    @property
    def seconds(self):
        """Seconds of work, those of earlier parts of the run included."""
        return time.monotonic() - self.began

    def save(self):
        """Save now."""
        began = time.monotonic()
        tensors, facts = self.slots.save()
        self.plan, self.waiting = self.memory.plan, False
        facts |= {"plan": asdict(self.plan), "asked": self.asked, "spread": self.spread, "elapsed": self.seconds}
        self.run.save_state(tensors, facts)
        self.saved_at = time.monotonic()
        self.cost = self.saved_at - began

    def stepped(self, left):
        """Save if it is time to: a sample left or the plan changed, or nothing was saved for `SECONDS`.

        Args:
            left: whether samples left in this step; their files must be complete.
        """
        self.waiting |= bool(left) or self.memory.plan != self.plan
        pause = max(self.cost / SHARE, 0.0 if self.waiting else SECONDS)
        if time.monotonic() - self.saved_at > pause:
            self.save()
