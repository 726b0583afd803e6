"""What the events of a method leave in the run directory."""

import math
import platform
from collections import Counter
from importlib.metadata import version

import torch

from equidiff_cli.engine.device import exact, peak_memory
from equidiff_cli.methods.events import Finished
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
        else:
            self.run.save_steps(self.loss_rows(event))
            self.left.clear()

    def save_sample(self, event):
        """Picture, latents and record of a sample; what is recorded last is measured on the saved file."""
        best, question = event.best, self.parts.question
        saved, file = self.run.save_picture(event.index, best["picture"], best["z_start"], best["z"])
        objective_saved, loss_saved = self.state.memory.attempt(lambda: self.measure(saved[None]))
        by_target = self.state.memory.attempt(lambda: self.see(saved))
        self.run.save_record(
            {
                "index": event.index,
                "seed": self.seeds[event.index],
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
                "loss_saved": loss_saved,
                "on_file": self.on_file(event.status, loss_saved),
                **({"penalty": best["penalty"].item()} if "penalty" in best else {}),
                **({"distance": self.distance(saved)} if self.pictured else {}),
                "seen": by_target,
                "latent_norm": best["z_start"].norm().item(),
                "file": file,
                "sha256": sha256(self.run.path / file),
            }
        )

    def loss_rows(self, event):
        """Rows of `losses.csv` for one `Step`; a sample that left has no gradient."""
        columns = (event.loss, event.loss_unfiltered, event.loss_filtered, event.grad_norm, event.latent_norm)
        for index, step, *numbers in zip(event.index, event.step, *columns, strict=True):
            if index in self.left:
                numbers[3] = None
            yield (index, step, *numbers)

    def on_file(self, status, loss):
        """Whether the file, whose loss is given, has what was asked for; None where nothing has."""
        return None if self.endless else status != "nonfinite" and loss < self.parts.threshold

    def distance(self, x):
        """The root mean square of the change of pixels from the query to a picture (3, H, W), in [0, 1]."""
        return (x - self.parts.picture).square().mean().sqrt().item()

    @torch.no_grad()
    def measure(self, x):
        """The objective's values (K,) of one picture (1, C, H, W), and its loss as in line 11, in float32 proper."""
        question, x = self.parts.question, x.to(self.parts.prior.device)
        with exact():
            unfiltered, filtered, *_ = question(x)
            return question.objective(x)[0], (unfiltered + filtered).item()

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
            noise = torch.stack([prior.noise(self.seeds[index]) for index in some])
            return some, prior.sample(noise, len(some)).cpu()

        while left:
            some, pictures = memory.attempt(draw)
            for index, picture in zip(some, pictures, strict=True):
                self.run.save_unguided(index, picture)
            left = left[len(some) :]

    def close(self):
        """Write what is known when all samples are finished; returns the warnings that came with it, a line each."""
        run, parts, state = self.run, self.parts, self.state
        records, seconds = run.records(), state.seconds
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
        late = [line for line in (off_the_shell(norms, math.prod(parts.prior.latent_shape)),) if line]
        late += parts.question.remarks(records) if hasattr(parts.question, "remarks") else []
        counts = Counter(record["status"] for record in records)
        run.close(
            {"format": FORMAT}
            | parts.summary
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
                "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
            }
        )
        return late


def caption(by_target, value):
    """What stands under a picture of the sheet: what the target sees, and the objective if that is one number."""
    lines = [f"{it['class']} {it['probability']:.2f}" for it in by_target.values()]
    return lines + ([f"value {value:#.4g}"] if isinstance(value, float) else [])


def plain(values):
    """A number if there is one, else a list."""
    return values.item() if values.numel() == 1 else values.tolist()
