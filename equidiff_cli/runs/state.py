"""The state of an unfinished run: how it comes back, and when it is saved: often enough to lose little, seldom enough
to cost little."""

import time
from dataclasses import asdict

from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import Plan
from equidiff_cli.engine.start import begin, loss_scale, null_distance, settled, slots_for
from equidiff_cli.methods.events import Finished, Step
from equidiff_cli.runs import shards

SECONDS = 10.0  # between saves while no sample finishes
SHARE = 0.02  # of the time that saving may take, at most


class State:
    """All that a run needs to go on: the samples in work, the plan for memory, the spread, the time used.

    Args:
        run: `RunDir` to save into.
        slots: `Slots`.
        memory: `Memory`.
        asked: what the plan was settled for, the values of `batch` and `checkpoint`.
        target: the values of the objective for the query, a list.
        spread: the null distance, the question's spread over unguided samples.
        known: what the question learnt of unguided samples.
        began: when the run would have begun had it never been stopped, on `time.monotonic`'s clock.

    `settled` says whether all files of the samples that left are written, so that a stop here loses nothing.
    """

    def __init__(self, run, slots, memory, asked, target, spread, began, known=None):
        self.run, self.slots, self.memory, self.asked, self.spread = run, slots, memory, asked, spread
        self.target, self.began, self.known, self.settled = target, began, known or {}, True
        self.save()

    @classmethod
    def of(cls, run, parts, say):
        """The state that the run in its directory was left in, or a new one; sets the scale of the question's loss.

        Args:
            say: called with how the run begins and its `Plan`, before the spread is measured, which may take a while.
        """
        began, saved, asked = time.monotonic(), run.load_state(), [parts.batch, parts.checkpoint]
        tensors, facts = saved or (None, None)
        settled_by = None if facts else shards.settled(run.path)  # another shard of the run
        if facts and facts["asked"] == asked:
            begin(parts)
            plan, size = Plan(**facts["plan"]), facts["size"]
        elif settled_by:
            begin(parts)
            plan = Plan(**settled_by["plan"])
            size = plan.batch
        else:
            plan = settled(parts)
            size = plan.batch
        slots, memory = slots_for(parts, size), Memory(plan)
        if facts:
            slots.restore(tensors, facts)
            say("going on", plan)
            recall(parts.question, facts["known"])
            spread, began = facts["spread"], began - facts["elapsed"]
        else:
            say(f"first its spread over {parts.null_samples} unguided samples", plan)
            if not settled_by:
                spread = null_distance(parts.prior, parts.question, parts.null_samples, memory)
                learnt = {"plan": asdict(memory.plan), "spread": spread, "known": known_of(parts.question)}
                settled_by = shards.settle(run.path, learnt)
            recall(parts.question, settled_by.get("known", {}))  # what is asked must be the same in every shard
            spread = settled_by["spread"]
        parts.question.scale = loss_scale(parts.loss_scale, spread)
        known = known_of(parts.question)
        return cls(run, slots, memory, asked, of_query(parts.question).tolist(), spread, began, known)

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
        facts |= {"target": self.target, "known": self.known}
        self.run.save_state(tensors, facts)
        self.saved_at = time.monotonic()
        self.cost = self.saved_at - began

    def take(self, event):
        """Save if it is time to: a sample left or the plan changed, or nothing was saved for `SECONDS`."""
        self.settled = isinstance(event, Step)  # else others of this step are still to come
        self.waiting |= isinstance(event, Finished) or self.memory.plan != self.plan
        pause = max(self.cost / SHARE, 0.0 if self.waiting else SECONDS)
        if self.settled and time.monotonic() - self.saved_at > pause:
            self.save()


def known_of(question):
    """What a question learnt of unguided samples, as JSON takes it."""
    return question.known() if hasattr(question, "known") else {}


def recall(question, known):
    """Let a question take up what `known_of` gave."""
    if hasattr(question, "recall"):
        question.recall(known)


def of_query(question):
    """The values (K,) of the query; a question of one's own may know only those to be reached."""
    return getattr(question, "of_query", question.target)


def agree(run, parts):
    """`ValueError` if the run that is to go on was begun with other values for the query than the parts give."""
    before, now = (run.facts or {}).get("target"), of_query(parts.question).tolist()
    if before is None:
        return
    off = [abs(old - new) for old, new in zip(before, now, strict=False)]
    if len(before) != len(now) or max(off) > parts.tolerance:
        old, new = max(zip(before, now, strict=False), key=lambda pair: abs(pair[0] - pair[1]))
        raise ValueError(
            f"hydra.run.dir={run.path}: the run was begun with {old:.6g} as the value of the query, which is {new:.6g}"
            " now: the target or the objective is another one; use what it was begun with, or another hydra.run.dir"
        )
