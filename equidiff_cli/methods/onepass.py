"""Methods that pass through the sampler once and steer on the way: what guidance and posterior sampling share.

A pass is `prior.path` with another velocity. What it asks of the question on the way is about predictions, and is
recorded; the sample is the picture at the end of the pass, whatever its loss.
"""

import torch

from equidiff_cli.errors import WrongRequest
from equidiff_cli.methods.events import BUDGET, CONVERGED, NONFINITE, STATUS, Finished, Step
from equidiff_cli.prior.paths import Flow

NORMS = ("loss", "loss_unfiltered", "loss_filtered")


class Pass:
    """One pass of some samples: the velocity, what is predicted, and what was asked on the way.

    Args:
        prior: `Prior` for these samples.
        question: of `parts/questions.py`.
        seeds: of the samples, a list.
        adjoint: `Adjoint`, of the decoder.
    """

    def __init__(self, prior, question, seeds, adjoint):
        self.prior, self.question, self.seeds, self.adjoint = prior, question, seeds, adjoint
        self.calls, self.rows = 0, []  # evaluations of the network for a sample; (3, n) losses of every prediction

    def velocity(self, z, i):
        """dz/dt (n, C, H, W), counted."""
        self.calls += 1
        return self.prior.velocity(z, i)

    def time(self, i):
        """t_i, a number: 0 is noise, 1 is data."""
        return self.prior.times[i].item()

    def clean(self, z, i, v):
        """The clean latent that is predicted at t_i, E[z_1 | z_t] = z + (1 - t) v."""
        return z + (1 - self.time(i)) * v

    def ask(self, z):
        """The loss (n,) of pictures of latents (n, C, H, W) at t = 1, which is recorded, and the penalty (n,) of what
        is asked besides, None if nothing is."""
        unfiltered, filtered, _, _, *besides = self.question(self.prior.decode(z, self.adjoint).clone())
        loss = unfiltered + filtered
        self.rows.append(torch.stack([loss, unfiltered, filtered]).detach().cpu())
        return loss, sum(more.square().sum(1) for more in besides) if besides else None

    @torch.no_grad()
    def end(self, z0, z):
        """What is measured of the samples as their files will have them."""
        x = self.prior.filed(self.prior.decode(z))
        unfiltered, filtered, values, filtered_values, *besides = self.question(x.clone())
        measured = dict(zip(NORMS, (unfiltered + filtered, unfiltered, filtered), strict=True))
        self.rows.append(torch.stack([measured[name] for name in NORMS]).cpu())
        return measured | dict(
            objective=values,
            objective_filtered=filtered_values,
            z_start=z0,
            z=z,
            picture=self.question.shown(x) if hasattr(self.question, "shown") else x,
            **({"penalty": sum(more.square().sum(1) for more in besides)} if besides else {}),
        )


class OnePass:
    """A sample is one pass from its own noise; which others share its batch does not count.

    A subclass has `steered(one)`, the velocity (z, i) -> (n, C, H, W) of a `Pass`, and `asks`, how many predictions it
    measures at each evaluation of the flow's solver.

    Args:
        threshold: tau; whether the sample at the end is a member.
    """

    ignores = ("optimizer", "budget.steps", "budget.patience", "gradient_steps", "checkpoint")
    solvers = ("euler", "heun")
    name, asks = "", 1

    def __init__(self, threshold):
        self.threshold, self.budget = threshold, {}

    def prepare(self, query, prior):
        """`ValueError` for the light object of a prior that does not follow a flow by a solver of `solvers`."""
        if getattr(prior, "jumps", None) is not None or not hasattr(prior, "solver"):
            raise ValueError(f"method={self.name}: steers a flow step by step, which this prior does not follow")
        if prior.solver not in self.solvers:
            raise ValueError(f"prior.solver={prior.solver}: method={self.name} needs {' or '.join(self.solvers)}")
        self.budget = {"steps": prior.steps * self.asks * (1 + (prior.solver == "heun")) + 1}

    def __call__(self, prior, question, slots, memory):
        """Draw the samples in `slots`; a `Finished` for each, and a `Step` with a row for each prediction."""
        if not isinstance(prior.path, Flow):
            raise WrongRequest(f"method={self.name}: steers a flow step by step, which {prior.name} does not follow")
        while slots.unfinished:
            yield from memory.attempt(lambda: self.step(prior, question, slots, memory.plan))

    def step(self, prior, question, slots, plan):
        """A pass of every sample in work."""
        slots.fill(prior.noise, lambda z0: {})
        measured, rows, calls = [], [], 0
        for seed, z0 in zip(slots.seed.split(plan.batch), slots.z0.split(plan.batch), strict=True):
            one = Pass(prior.of(seed), question, seed.tolist(), plan.adjoint)
            with torch.no_grad():
                z = one.prior.path(self.steered(one), z0.clone())
            measured.append(one.end(z0, z))
            rows.append(torch.stack(one.rows))  # (measurements, 3, n)
            calls = one.calls
        measured = {name: torch.cat([part[name] for part in measured]) for name in measured[0]}
        rows = torch.cat(rows, 2)
        index, count = slots.index.tolist(), len(rows)
        status = torch.where(rows[-1, 0] < self.threshold, CONVERGED, BUDGET)
        status[~rows[-1, 0].isfinite()] = NONFINITE
        norms = measured["z_start"].flatten(1).norm(dim=1).tolist()
        slots.steps = torch.full_like(slots.steps, count - 1)
        leaving = slots.advance(measured, slots.z0, slots.state, torch.zeros(len(index), dtype=torch.bool), rows[-1, 0])
        finished = [Finished(index[i], STATUS[status[i]], count, calls, seconds, best) for i, best, seconds in leaving]
        names = [i for i in index for _ in range(count)]
        steps = [step for _ in index for step in range(1, count + 1)]
        losses = rows.permute(1, 2, 0).flatten(1).tolist()  # sample by sample
        return [*finished, Step(names, steps, *losses, [None] * len(names), [n for n in norms for _ in range(count)])]

    def account(self, records, interval):
        """What to say of the samples at the end: no facts, and a line where fewer than half became members."""
        hits = sum(record["status"] == "converged" for record in records)
        if 2 * hits >= len(records):
            return {}, None
        return {}, (
            f"{hits} of {len(records)} passes ended below the threshold; try {self.settings}, more prior.steps, or"
            " method=latent, which goes on until it is met"
        )
