"""No search at all: the real pictures of a folder whose value is nearest to the query's.

What every other method has to beat in variety and to tie in realism.
"""

import hashlib

import torch

from equidiff_cli.errors import WrongRequest
from equidiff_cli.methods.events import BUDGET, CONVERGED, NONFINITE, STATUS, Finished, Step
from equidiff_cli.parts.accepted import accepted

SAME = 0.5 / 255  # root mean square difference of pixels below which a picture is the query itself


class Nearest:
    """Sample i is the picture with the i-th lowest loss; which are in work together does not count.

    Args:
        threshold: tau; whether a picture is a member.
        folder: (name, side of pictures) -> pictures (R, 3, S, S) in [0, 1] on the CPU, all below a folder, and files.
        real: the name of the folder.
    """

    ignores = (
        "optimizer",
        "budget.steps",
        "budget.patience",
        "gradient_steps",
        "checkpoint",
        "near",
        "region",
        "diverse",
    )
    guided, budget = False, {"steps": 1}

    def __init__(self, threshold, folder, *, real):
        self.threshold, self.folder, self.real = threshold, folder, accepted("method.real", real)
        self.pictures = None

    def prepare(self, query, prior):
        """Read the folder, leaving the query (1, 3, S, S) out; `ValueError` where it holds no picture."""
        if query.shape[1] != 3 or min(query.shape[2:]) < 2:
            raise ValueError("method=nearest: shows pictures; this prior makes points")
        found, _ = self.folder(self.real, query.shape[-1])
        own = (found - query.cpu()).square().mean((1, 2, 3)).sqrt() < SAME
        if own.all():
            raise ValueError(f"method.real={self.real}: holds no picture but the query itself")
        self.pictures = found[~own]

    @property
    def identity(self):
        """What results depend on besides settings."""
        pixels = (self.pictures * 255).round().byte().numpy().tobytes()
        return {"method.real (SHA-256 of its pixels)": hashlib.sha256(pixels).hexdigest()}

    def suits(self, question, pictures):
        """`ValueError` for a question without an end."""
        if getattr(question, "endless", False):
            raise WrongRequest("method=nearest: a value that is raised or lowered without end has nothing near it")

    def forecast(self, prior, question, samples, draws, memory):
        """What is looked at, in a line; `WrongRequest` where there are fewer pictures than samples."""
        self.enough(samples)
        return f"the nearest {samples} of {len(self.pictures)} pictures of {self.real}"

    def enough(self, samples):
        """`WrongRequest` where there are fewer pictures than samples."""
        if samples > len(self.pictures):
            raise WrongRequest(
                f"samples={samples}: method.real={self.real} holds {len(self.pictures)} pictures besides the query"
            )

    def __call__(self, prior, question, slots, memory):
        """Draw the samples in `slots`; a `Finished` and a row of a `Step` for each."""
        self.enough(1 + max([*slots.index.tolist(), *(index for index, _ in slots.waiting)], default=-1))  # of a shard
        measured = memory.attempt(lambda: self.measure(prior, question, memory.plan.batch))
        order = measured["loss"].nan_to_num(torch.inf, torch.inf).argsort(stable=True)
        while slots.unfinished:
            yield from memory.attempt(lambda: self.step(measured, order, slots))

    @torch.no_grad()
    def measure(self, prior, question, batch):
        """Everything that is known of all pictures of the folder, on the CPU."""
        parts = []
        for x in self.pictures.split(batch):
            unfiltered, filtered, values, filtered_values, *_ = question(x.to(prior.device))
            losses = dict(loss=unfiltered + filtered, loss_unfiltered=unfiltered, loss_filtered=filtered)
            part = losses | dict(objective=values, objective_filtered=filtered_values)
            parts.append({name: value.cpu() for name, value in part.items()} | {"picture": x})
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def step(self, measured, order, slots):
        """The pictures of all samples in work."""
        slots.fill(lambda seed: torch.zeros(1, 1, 1), lambda z0: {})  # there is no noise
        rows = order[slots.index]
        best = {name: value[rows].to(slots.device) for name, value in measured.items()}
        loss, index = measured["loss"][rows], slots.index.tolist()
        status = torch.where(loss < self.threshold, CONVERGED, BUDGET)
        status[~loss.isfinite()] = NONFINITE
        leaving = slots.advance(best, slots.z0, slots.state, torch.zeros(len(index), dtype=torch.bool), loss)
        finished = [Finished(index[i], STATUS[status[i]], 1, 0, seconds, found) for i, found, seconds in leaving]
        losses = [measured[name][rows].tolist() for name in ("loss", "loss_unfiltered", "loss_filtered")]
        none = [None] * len(index)
        return [*finished, Step(index, [1] * len(index), *losses, none, none)]

    def account(self, records, interval):
        """What to say of the samples at the end: no facts, and a line where fewer than half are members."""
        hits = sum(record["status"] == "converged" for record in records)
        if 2 * hits >= len(records):
            return {}, None
        return {}, (
            f"{hits} of the {len(records)} nearest pictures of {self.real} are members; nothing was searched for: a"
            " larger folder has nearer ones"
        )
