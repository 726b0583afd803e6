"""Markov chains on the invariant set: members with the law that the prior has on the set, where `Latent` finds any.

Every sample is a chain of its own, from noise and chance of its own: so members are independent draws, a run of more
samples begins with the same ones, and how far chains agree shows whether they were long enough. The step of a chain is
in `parts/constrained.py`.
"""

import torch

from equidiff_cli.methods.events import BUDGET, CONVERGED, GOING, NONFINITE, STATUS, Finished, Kept, Step
from equidiff_cli.methods.latent import evaluate, joined
from equidiff_cli.methods.surface import Surface
from equidiff_cli.parts.accepted import accepted
from equidiff_cli.parts.constrained import MOVED, NO_PROJECTION, NO_RETURN, move, put, some
from equidiff_cli.parts.newton import Linear
from equidiff_cli.prior.prior import sample_seed

STREAM = 2**32  # added to the number of a move: keeps its chance apart from the noise of restarts
FRAME = ("across", "slope", "volume")
COUNTS = ("moves", "moved", "no_projection", "no_return", "passes")  # state["moves"] is -1 until the set is found
FADING = 0.6  # the weight of a move in tuning the angle is its number to this negative power (Robbins & Monro 1951)
WIDEST = 1.5  # radians; a quarter turn would leave nothing of z


class Walk:
    """Find the set as `Latent` does, then walk on it.

    Args:
        optimizer, steps, threshold, patience: as of `Latent`; how the set is found.
        angle: of a rotation, radians in (0, 1.5].
        rotations: of one move.
        aim: share of moves to be accepted, for which the angle is tuned while the start is forgotten; None: it stays.
        forget: moves before the first kept state counts.
        every: moves between two kept states.
        keep: states kept of each chain; the last one is the member.
        tolerance: of the equations, in units of the residuals.
        iterations: evaluations that a projection may take.
    """

    exact = True  # gradients have to be: the law depends on them

    def __init__(
        self,
        optimizer,
        steps,
        threshold,
        patience,
        *,
        angle,
        rotations,
        aim,
        forget,
        every,
        keep,
        tolerance,
        iterations,
    ):
        self.optimizer, self.steps, self.threshold, self.patience = optimizer, steps, threshold, patience
        self.angle, self.rotations = accepted("method.angle", angle), accepted("method.rotations", rotations)
        self.aim, self.forget = accepted("method.aim", aim), accepted("method.forget", forget)
        self.every, self.keep = accepted("method.every", every), accepted("method.keep", keep)
        self.tolerance = accepted("method.tolerance", tolerance)
        self.iterations = accepted("method.iterations", iterations)

    @property
    def length(self):
        """Moves of a chain."""
        return self.forget + self.every * self.keep

    def suits(self, question, pictures):
        """`ValueError` for a question whose equations cannot be walked on; tried on pictures (N, C, H, W)."""
        Surface.of(question, pictures)

    def __call__(self, prior, question, slots, memory):
        """As `Latent`, and a `Kept` for every state that is kept; the pair of a sample is the last of its chain."""
        tried = memory.attempt(lambda: prior.unguided(2, memory.plan.batch))
        surface = Surface.of(question, tried, prior, memory)
        while slots.unfinished:
            yield from memory.attempt(lambda: self.step(surface, slots))

    def step(self, surface, slots):
        """One step of every sample: an evaluation for those that look for the set, a move for those that are on it."""
        if "moves" in slots.state:  # a chain is never stuck
            slots.stale[slots.state["moves"].cpu() >= 0] = 0
        slots.fill(surface.prior.noise, lambda z0: self.begin(z0, surface.count), self.patience)
        walking = slots.state["moves"] >= 0
        parts, order = [], []
        for rows, work in ((~walking, self.find), (walking, self.walk)):
            if rows.any():
                order.append(rows.nonzero().flatten())
                parts.append(work(surface, slots, order[-1]))
        back = torch.cat(order).argsort()
        measured, state = ({name: torch.cat([p[i][name] for p in parts])[back] for name in parts[0][i]} for i in (0, 1))
        z0, slope, status = (torch.cat([part[i] for part in parts])[back.to(parts[0][i].device)] for i in (2, 3, 4))
        norms = torch.stack([slope, slots.z0.flatten(1).norm(dim=1)])
        losses = torch.stack([measured[name] for name in ("loss", "loss_unfiltered", "loss_filtered")])
        numbers = torch.cat([losses, norms]).cpu()
        status[(status == GOING) & ~numbers[3].isfinite()] = NONFINITE
        index, count, restarts = slots.index.tolist(), (slots.steps + 1).tolist(), slots.restarts.tolist()
        walked = state["moves"].cpu() >= 0
        moves = state["moves"].tolist()
        kept = self.kept(index, moves, measured)
        notes = [self.notes(some(state, i)) for i in range(len(index))]
        leaving = slots.advance(measured, z0, state, status == GOING, numbers[0], walked.to(z0.device))
        finished = [
            Finished(
                index[i],
                STATUS[status[i]],
                count[i],
                state["passes"][i].item() * surface.prior.evaluations,
                seconds,
                best,
                restarts[i],
                notes[i],
            )
            for i, best, seconds in leaving
        ]
        return [*kept, *finished, Step(index, count, *numbers.tolist(), moves)]

    def begin(self, z0, count):
        """The state of new samples: of the optimiser, and of a chain that has not begun."""
        zeros = torch.zeros(len(z0), dtype=torch.int64, device=z0.device)
        return {f"optimizer.{name}": value for name, value in self.optimizer.init(z0).items()} | {
            "across": z0.new_zeros(len(z0), z0[0].numel(), count),
            "slope": z0.new_zeros(len(z0), count, count),
            "volume": z0.new_zeros(len(z0)),
            "angle": z0.new_full((len(z0),), self.angle),
            "moves": zeros - 1,
            **{name: zeros.clone() for name in COUNTS[1:]},
        }

    def find(self, surface, slots, rows):
        """A step of the optimiser, and where the loss is below the threshold, the way from there onto the set.

        Returns what was measured, the state, latents, the norm of the gradient and what becomes of each.
        """
        prior, plan, here = surface.prior, surface.memory.plan, rows.cpu()
        z0, state, last = slots.z0[rows], some(slots.state, rows), slots.steps[here] + 1 == self.steps
        wanted = getattr(self.optimizer, "rows", None)
        measured, slope, status = joined(
            [
                evaluate(prior, surface.question, *part, self.threshold, plan.adjoint, wanted)
                for part in zip(z0.split(plan.batch), last.split(plan.batch), strict=True)
            ]
        )
        own = {name[10:]: value.clone() for name, value in state.items() if name.startswith("optimizer.")}
        moved, own = self.optimizer.step(z0.clone(), slope if wanted else slope.clone(), own)
        state |= {f"optimizer.{name}": value for name, value in own.items()} | {"passes": state["passes"] + 1}
        near = (status == CONVERGED).nonzero().flatten()
        if len(near):
            place, there, passes = surface.settled(z0[near.to(rows.device)], self.tolerance, self.iterations)
            near = near.to(rows.device)
            state["passes"] = state["passes"].index_add(0, near, passes)
            on = near[there]
            moved = moved.index_copy(0, on, place["at"][there].view_as(moved[on]))
            measured = put(measured, on, {name: place[name][there] for name in measured})
            chain = {name: place[name][there] for name in FRAME} | {"moves": torch.zeros_like(on)}
            state |= put({name: state[name] for name in chain}, on, chain)
            status[near.cpu()] = torch.where(there.cpu() | ~last[near.cpu()], GOING, BUDGET)
        gradient = slope.gradient if isinstance(slope, Linear) else slope
        return measured, state, moved, gradient.flatten(1).norm(dim=1), status

    def walk(self, surface, slots, rows):
        """A move of every chain; returns as `find`."""
        state, best = some(slots.state, rows), some(slots.best, rows)
        place = best | {name: state[name] for name in FRAME} | {"at": slots.z0[rows].flatten(1)}
        seeds = zip(slots.seed[rows.cpu()].tolist(), state["moves"].tolist(), strict=True)
        noise, uniform = chances([sample_seed(seed, STREAM + moves) for seed, moves in seeds], place["at"])
        place, outcome, chance, passes = move(
            surface, place, noise, uniform, state["angle"], self.rotations, self.tolerance, self.iterations
        )
        state |= {name: place[name] for name in FRAME}
        state |= {
            "angle": self.tuned(state["angle"], state["moves"], chance),
            "moves": state["moves"] + 1,
            "moved": state["moved"] + (outcome == MOVED),
            "no_projection": state["no_projection"] + (outcome == NO_PROJECTION),
            "no_return": state["no_return"] + (outcome == NO_RETURN),
            "passes": state["passes"] + passes,
        }
        status = torch.where(state["moves"].cpu() < self.length, GOING, CONVERGED)
        measured = {name: place[name] for name in best}
        slope = torch.zeros_like(chance)  # on the set, but for the tolerance
        return measured, state, place["at"].view_as(slots.z0[rows]), slope, status

    def tuned(self, angle, moves, chance):
        """The angles (N,) after a move that is still to be forgotten: longer where more are accepted than aimed at."""
        if self.aim is None:
            return angle
        weight = (moves + 1.0) ** -FADING
        other = (angle * (weight * (chance - self.aim)).exp()).clamp_max(WIDEST)
        return torch.where(moves < self.forget, other, angle)

    def kept(self, index, moves, measured):
        """A `Kept` for every chain that is at a state to keep."""
        events = []
        for i, (name, count) in enumerate(zip(index, moves, strict=True)):
            number, rest = divmod(count - self.forget, self.every)
            if number > 0 and not rest:
                events.append(Kept(name, number - 1, count, {key: row.cpu() for key, row in some(measured, i).items()}))
        return events

    def notes(self, state):
        """What the record of a sample says of its chain; nothing of one that did not begin."""
        if state["moves"] < 0:
            return {}
        counts = {name: state[name].item() for name in COUNTS[:-1]}
        return {"walk": counts | {"angle": state["angle"].item()}}


def chances(seeds, like):
    """For each seed white noise and a number from [0, 1): (N, D) and (N,), drawn on the CPU as starting noise is."""
    noise, uniform = [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        noise.append(torch.randn(like.shape[1], generator=generator))
        uniform.append(torch.rand((), generator=generator))
    return torch.stack(noise).to(like), torch.stack(uniform).to(like)
