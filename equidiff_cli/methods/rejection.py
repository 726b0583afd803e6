"""The law of the invariant set itself, by rejection: unguided samples of the prior, drawn until one fits.

Nothing is optimised and nothing is approximated: what is accepted is a sample of the prior conditioned on both values
lying within a tolerance of the query's (von Neumann 1951; with a tolerance: Pritchard et al. 1999). So it is what
members of every other method can be held against, where the value is common enough to be waited for.
"""

import math
import time

import torch

from equidiff_cli.errors import WrongRequest
from equidiff_cli.methods.events import BUDGET, CONVERGED, NONFINITE, STATUS, Finished, Step
from equidiff_cli.parts.accepted import accepted
from equidiff_cli.prior.prior import NULL_STREAM, sample_seed

NEIGHBOURS = 8  # unguided samples nearest to the set from which the rate is foretold where fewer fit
PLAIN = 2  # values, that of the picture and that of the filtered one, that are as many dimensions
HOPELESS = 0.1  # members expected of the whole pool, below which a run is refused: the forecast is rarely so far off
MOST_LEFT = 0.1  # share of samples that may stay without a member before a warning says so


class Rejection:
    """Lines 1, 5-11 without a gradient: sample i is the first draw of its own stream that fits.

    Draw 0 of a sample is its starting noise, draw j has the seed `sample_seed(seed of the sample, j)`. Samples are
    independent of each other, and of how many draws pass through the networks together.

    Args:
        tolerance: how far, as the root of the scaled distance, the value of a picture and that of its filtered copy may
            each be from the query's: null spreads, for the squared distance and `loss_scale=auto`.
        pool: draws of one sample, at most; then it leaves with the best of them.
    """

    ignores = ("optimizer", "budget", "gradient_steps", "checkpoint")
    guided = False

    def __init__(self, tolerance, pool):
        self.tolerance, self.pool = accepted("method.tolerance", tolerance), accepted("method.pool", pool)
        self.budget = {"steps": self.pool, "threshold": 2 * self.tolerance**2}  # what stands for it elsewhere

    def __call__(self, prior, question, slots, memory):
        """Draw the samples in `slots`; a `Finished` for every sample that leaves, a `Step` with a row for each draw."""
        while slots.unfinished:
            yield from memory.attempt(lambda: self.step(prior, question, slots, memory.plan.batch))

    def suits(self, question, pictures):
        """`ValueError` for a question that no picture ever answers."""
        if getattr(question, "endless", False):
            raise WrongRequest("method=rejection: a value that is raised or lowered without end accepts no picture")

    def fits(self, unfiltered, filtered):
        """Whether a picture with these losses (N,) is accepted: a box, so that neither value pays for the other."""
        return torch.maximum(unfiltered, filtered) <= self.tolerance**2

    def step(self, prior, question, slots, batch):
        """One batch of draws: the next ones of every sample in work, several of each where few are left."""
        slots.fill(prior.noise, lambda z0: {})
        index, used = slots.index.tolist(), slots.steps.tolist()
        each = max(batch // len(index), 1)
        counts = [min(each, self.pool - before) for before in used]
        seeds = [
            draw_seed(seed, before + k)
            for seed, before, count in zip(slots.seed.tolist(), used, counts, strict=True)
            for k in range(count)
        ]
        measured = measure(prior, question, torch.stack([prior.noise(seed) for seed in seeds]), batch)
        losses = torch.stack([measured[name] for name in ("loss", "loss_unfiltered", "loss_filtered")]).cpu()
        norms = measured["z_start"].flatten(1).norm(dim=1).tolist()
        picked = [
            pick(*rows) for rows in zip(losses[0].split(counts), self.fits(*losses[1:]).split(counts), strict=True)
        ]
        starts = [sum(counts[:slot]) for slot in range(len(counts))]
        rows = torch.tensor([start + best for start, (best, _, _) in zip(starts, picked, strict=True)])
        found = torch.tensor([fits for *_, fits in picked])
        made = [before + tried for before, (_, tried, _) in zip(used, picked, strict=True)]
        if slots.best:  # what fits is the result, even if an earlier draw had the smaller sum of both losses
            slots.best = slots.best | {"loss": slots.best["loss"].masked_fill(found.to(prior.device), math.nan)}
        best = {name: value[rows.to(prior.device)] for name, value in measured.items()}
        going = ~found & (torch.tensor(made) < self.pool)
        leaving = slots.advance(best, slots.z0, slots.state, going)
        slots.steps = slots.steps + (each - 1)  # of those that stay, all of which made so many draws
        finished = [
            Finished(index[slot], status(found[slot], best), made[slot], made[slot] * prior.evaluations, seconds, best)
            for slot, best, seconds in leaving
        ]
        at = [start + k for start, (_, tried, _) in zip(starts, picked, strict=True) for k in range(tried)]
        names = [i for i, (_, tried, _) in zip(index, picked, strict=True) for _ in range(tried)]
        steps = [before + k + 1 for before, (_, tried, _) in zip(used, picked, strict=True) for k in range(tried)]
        return [*finished, Step(names, steps, *losses[:, at].tolist(), [None] * len(at), [norms[row] for row in at])]

    def forecast(self, prior, question, samples, draws, memory):
        """What `samples` will cost, in a line, by so many unguided `draws`, which are timed.

        Raises `WrongRequest` where not even one member is to be expected. A low rate alone is a warning: it is foretold
        from few samples, and those that are found are members all the same.
        """

        def trial():
            began, batch = time.perf_counter(), memory.plan.batch
            noise = torch.stack([prior.noise(sample_seed(NULL_STREAM, i)) for i in range(draws)])
            measured = measure(prior, question, noise, batch, keep=("loss_unfiltered", "loss_filtered", "objective"))
            losses = [measured[name].cpu() for name in ("loss_unfiltered", "loss_filtered")]
            return losses, measured["objective"].shape[1], (time.perf_counter() - began) / draws

        (unfiltered, filtered), values, seconds = memory.attempt(trial)
        dimensions = values * (1 if torch.equal(unfiltered, filtered) else 2)
        rate = expected_rate(torch.maximum(unfiltered, filtered).sqrt(), self.tolerance, dimensions)
        whole = samples * self.pool
        if whole * rate < HOPELESS:
            raise WrongRequest(
                f"method.tolerance={self.tolerance:g}: about {rate:.1g} of unguided samples fit, so that none is to be"
                f" expected of {samples} x method.pool={self.pool} draws; use a larger tolerance or pool, or"
                " method=latent, whose members equidiff evaluate compares with weighted unguided samples"
            )
        empty = (1 - rate) ** self.pool  # the share of samples whose pool holds no member
        total = samples * (1 - empty) / rate
        said = (
            f"about {rate:.2g} of unguided samples fit within {self.tolerance:g}: {max(total, samples):.0f} draws and"
            f" {duration(max(total, samples) * seconds)} are expected for {samples} samples"
        )
        if empty > MOST_LEFT:
            said += f", and a share of {empty:.2f} finds no member within method.pool={self.pool} draws"
        return said

    def account(self, records, interval):
        """What the draws came to: facts for the summary of the run, and a line.

        Args:
            records: of all samples, as in `samples.jsonl`.
            interval: (successes, count) -> (low, high), of a share.
        """
        draws = sum(record["steps"] for record in records)
        hits = sum(record["status"] == "converged" for record in records)
        low, high = interval(hits, draws)
        facts = {"draws": draws, "accepted": hits, "rate": hits / draws, "low": low, "high": high}
        said = f"{hits} of {draws} draws fit, {hits / draws:.2g} (95 %: {low:.2g} to {high:.2g}) of unguided samples"
        if hits < len(records):
            left = f"{len(records) - hits} of {len(records)} samples found none in method.pool={self.pool} draws"
            said += f"; {left}: try a larger pool, or a larger method.tolerance than {self.tolerance:g}"
        return {"rejection": facts | {"tolerance": self.tolerance, "interval": "95 % Clopper-Pearson"}}, said


def pick(losses, fit):
    """Of the next draws of one sample (n,): which is kept, how many count, and whether it fits.

    The first that fits, and then what came after it does not count; else that of the lowest loss.
    """
    if fit.any():
        first = fit.int().argmax().item()
        return first, first + 1, True
    return losses.nan_to_num(math.inf, math.inf).argmin().item(), len(losses), False


def status(found, best):
    """The status of a sample that leaves with the pair `best`."""
    return STATUS[CONVERGED if found else BUDGET if best["loss"].isfinite() else NONFINITE]


def draw_seed(seed, number):
    """The seed of draw `number`, from 0, of a sample: the first is that of its starting noise."""
    return sample_seed(seed, number) if number else seed


@torch.no_grad()
def measure(prior, question, noise, batch, keep=None):
    """Everything that is known of starting noise (N, C, H, W), on the device, `batch` samples at once.

    Args:
        keep: the names that are wanted, all of them if None.
    """
    parts = []
    for z0 in noise.split(batch):
        z0 = z0.to(prior.device)
        z = prior.flow(z0)
        x = prior.filed(prior.decode(z))
        unfiltered, filtered, values, values_filtered, *_ = question(x.clone())
        part = dict(loss=unfiltered + filtered, loss_unfiltered=unfiltered, loss_filtered=filtered)
        part |= dict(objective=values, objective_filtered=values_filtered, z_start=z0, z=z, picture=x)
        parts.append(part if keep is None else {name: part[name] for name in keep})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def expected_rate(distances, tolerance, dimensions):
    """The share of draws within a tolerance, in [0, 1], by the `distances` (M,) of M draws to the set.

    Their own share where at least `NEIGHBOURS` are within, else a density from the nearest ones (Loftsgaarden &
    Quesenberry 1965): the share within their distance, times the ratio of the volumes. Several values lie in fewer
    dimensions than they are, so those are estimated from the same distances (Hill 1975; Levina & Bickel 2004).
    """
    count = max(min(NEIGHBOURS, len(distances) // 4), 1)
    nearest = distances.nan_to_num(math.inf).sort().values[:count].double()
    radius = nearest[-1].item()
    if radius <= tolerance:
        return (distances <= tolerance).double().mean().item()
    if dimensions > PLAIN and count > 1 and radius < math.inf:
        dimensions = min(dimensions, (count - 1) / (radius / nearest[:-1]).log().sum().clamp_min(1e-12).item())
    return count / len(distances) * (tolerance / radius) ** dimensions


def duration(seconds):
    """Seconds in words."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"
