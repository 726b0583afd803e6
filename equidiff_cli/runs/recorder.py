"""What the events of a method leave in the run directory."""

import math
import platform
from collections import Counter
from importlib.metadata import version

import torch

from equidiff_cli.engine.device import exact, peak_memory
from equidiff_cli.methods.events import Finished, Kept
from equidiff_cli.pictures.read import NOTHING
from equidiff_cli.runs.hindsight import off_the_shell
from equidiff_cli.runs.names import FORMAT
from equidiff_cli.runs.state import of_query
from equidiff_cli.target.seen import seen
from equidiff_cli.weights.read import sha256

VERSIONS = ("equidiff", "torch", "torchvision", "timm", "diffusers", "hydra-core")


class Recorder:
    """Writes every event down: a picture, its latents and its record for a `Finished`, rows of losses for a `Step`.

    Args:
        run: `RunDir` to write into.
        parts: what the run draws with: `question`, `prior`, `seeds`, `summary`.
        state: `State`; measuring a saved picture may make its plan for memory lighter.
    """

    def __init__(self, run, parts, state):
        self.run, self.parts, self.state = run, parts, state
        self.seeds, self.left = dict(parts.seeds), set()
        self.endless = getattr(parts.question, "endless", False)
        self.pictured = run.medium.name == "pictures" and parts.summary["query"] != NOTHING

    def take(self, event):
        """Write one event down."""
        if isinstance(event, Finished):
            self.left.add(event.index)
            self.save_sample(event)
        elif isinstance(event, Kept):
            self.save_kept(event)
        else:
            self.run.save_steps(self.loss_rows(event))
            self.left.clear()

    def save_sample(self, event):
        """Picture, latents and record of a sample; what is recorded last is measured on the saved file."""
        best, question = event.best, self.parts.question
        saved, file = self.run.save_picture(event.index, best["picture"], best.get("z_start"), best.get("z"))
        objective_saved, losses_saved = self.state.memory.attempt(lambda: self.measure(saved[None]))
        by_target = self.state.memory.attempt(lambda: self.see(saved))
        self.run.save_record(
            {
                "index": event.index,
                "seed": self.seeds[event.index],
                "label": self.parts.label.of(*self.parts.prior.labels([self.seeds[event.index]])),
                "status": event.status,
                "steps": event.steps,
                "nfe": event.evaluations,
                "restarts": event.restarts,
                "seconds": round(event.seconds, 3),
                **{name: best[name].item() for name in ("loss", "loss_unfiltered", "loss_filtered")},
                "target": plain(getattr(question, "wanted", question.target)),
                "objective": plain(best["objective"]),
                "objective_filtered": plain(best["objective_filtered"]),
                "objective_saved": plain(objective_saved),
                "loss_saved": losses_saved.sum().item(),
                "on_file": self.on_file(event.status, losses_saved),
                **({"penalty": best["penalty"].item()} if "penalty" in best else {}),
                **({"distance": self.distance(saved)} if self.pictured else {}),
                "seen": by_target,
                "latent_norm": best["z_start"].norm().item() if "z_start" in best else None,
                "file": file,
                "sha256": sha256(self.run.path / file),
            }
            | event.notes
        )

    def save_kept(self, event):
        """Picture and line of a state that a chain kept."""
        state = event.state
        facts = {"move": event.move, "loss": state["loss"].item()}
        facts |= {name: plain(state[name]) for name in ("objective", "objective_filtered")}
        facts |= {"latent_norm": state["z_start"].norm().item()}
        self.run.save_kept(event.index, event.number, state["picture"], facts)

    def loss_rows(self, event):
        """Rows of `losses.csv` for one `Step`; a sample that left has no gradient."""
        columns = (event.loss, event.loss_unfiltered, event.loss_filtered, event.grad_norm, event.latent_norm)
        for index, step, *numbers in zip(event.index, event.step, *columns, strict=True):
            if index in self.left:
                numbers[3] = None
            yield (index, step, *numbers)

    def on_file(self, status, losses):
        """Whether the file, whose losses (2,) are given, has what was asked for; None where nothing has."""
        return None if self.endless else status != "nonfinite" and self.fits(losses)

    def distance(self, x):
        """The root mean square of the change of pixels from the query to a picture (3, H, W), in [0, 1]."""
        return (x - self.parts.picture).square().mean().sqrt().item()

    @torch.no_grad()
    def measure(self, x):
        """The objective's values (K,) of one picture (1, C, H, W), and both its losses (2,), in float32 proper."""
        question, x = self.parts.question, x.to(self.parts.prior.device)
        with exact():
            unfiltered, filtered, *_ = question(x)
            return question.objective(x)[0], torch.cat([unfiltered, filtered])

    def fits(self, losses):
        """Whether a picture with both losses (2,) is a member: by the threshold, or as the method says."""
        fits = getattr(self.parts.method, "fits", None)
        return bool(fits(*losses) if fits else losses.sum() < self.parts.threshold)

    def lost(self):
        """How many samples that converged lie outside the threshold as saved, in words; "" if none does."""
        converged = [record for record in self.run.records() if record["status"] == "converged"]
        outside = sum(record.get("on_file") is False for record in converged)
        how = "after rounding to 8 bits" if self.run.medium.name == "pictures" else "on file"
        return f"{outside} of {len(converged)} converged lie outside the threshold {how}" if outside else ""

    def see(self, x):
        """What the target sees in one picture (C, H, W), in float32 proper."""
        networks = getattr(self.parts.question.objective, "networks", [self.parts.target])
        with exact():
            (*every,) = (seen(network, x[None].to(self.parts.prior.device))[0] for network in networks)
        return {name: what for by_target in every for name, what in by_target.items()}

    def save_unguided(self, records):
        """Draw what the starting noise of each sample gives before anything is optimised."""
        prior, memory = self.parts.prior, self.state.memory
        left = [record["index"] for record in records]

        def draw():
            some = left[: memory.plan.batch]
            return some, prior.drawn([self.seeds[index] for index in some], len(some)).cpu()

        while left:
            some, pictures = memory.attempt(draw)
            for index, picture in zip(some, pictures, strict=True):
                self.run.save_unguided(index, picture)
            left = left[len(some) :]

    def close(self, facts=None):
        """Write what is known when all samples are finished; returns the warnings that came with it, a line each.

        Args:
            facts: what the summary is to hold besides.
        """
        run, parts, state = self.run, self.parts, self.state
        records, seconds = run.records(), state.seconds
        if getattr(parts.method, "guided", True):  # else its samples are nothing but unguided ones
            self.save_unguided(records)
        query_seen = state.memory.attempt(lambda: self.see(run.medium.read(run.query)))
        files = [run.path / record["file"] for record in records]
        captions = [caption(query_seen, plain(of_query(parts.question)))]
        captions += [caption(record.get("seen", {}), record["objective_saved"]) for record in records]
        run.save_grid(
            run.medium.sheet(
                run.query, files, lambda x: parts.question.objective(x.to(parts.prior.device)).cpu(), captions
            )
        )
        norms = [record["latent_norm"] for record in records]
        off = off_the_shell(norms, math.prod(parts.prior.noise_shape), "start" in parts.summary)
        late = [off] if off else []
        late += parts.question.remarks(records) if hasattr(parts.question, "remarks") else []
        counts = Counter(record["status"] for record in records)
        run.close(
            {"format": FORMAT}
            | parts.summary
            | (facts or {})
            | {
                "warnings": [*parts.summary["warnings"], *late],
                "memory": str(state.memory.plan),
                "counts": {status: counts[status] for status in ("converged", "budget", "nonfinite")},
                "on_file": sum(record.get("on_file") or False for record in records),
                "wall_seconds": round(seconds, 2),
                "samples_per_hour": round(3600 * len(records) / seconds, 1),
                "peak_memory_mib": round(peak_memory(parts.prior.device), 1),
                "null_spread": state.spread,  # the null distance; for the squared distance the square of a null spread
                "loss_scale": parts.question.scale,
                "query_seen": query_seen,
                **walked(records),
                "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
            }
        )
        return late


def walked(records):
    """The moves of all chains together, as {"walk": counts}; {} where no sample is a chain."""
    chains = [record["walk"] for record in records if "walk" in record]
    counts = {name: sum(chain[name] for chain in chains) for name in (chains[0] if chains else {}) if name != "angle"}
    return {"walk": {"chains": len(chains)} | counts} if chains else {}


def caption(by_target, value):
    """What stands under a picture of the sheet: what the target sees, and the objective if that is one number."""
    lines = [f"{it['class']} {it['probability']:.2f}" for it in by_target.values()]
    return lines + ([f"value {value:#.4g}"] if isinstance(value, float) else [])


def plain(values):
    """A number if there is one, else a list."""
    return values.item() if values.numel() == 1 else values.tolist()
