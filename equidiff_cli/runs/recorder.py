"""What the events of a method leave in the run directory."""

import math
import platform
from collections import Counter
from importlib.metadata import version

import torch

from equidiff_cli.engine.device import exact, peak_memory
from equidiff_cli.methods.events import Finished
from equidiff_cli.runs.hindsight import off_the_shell
from equidiff_cli.runs.names import FORMAT
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
        on_file, file = self.run.save_picture(event.index, best["picture"], best["z_start"], best["z"])
        (objective_saved,) = self.state.memory.attempt(lambda: self.measure(on_file[None]))
        self.run.save_record(
            {
                "index": event.index,
                "seed": self.seeds[event.index],
                "status": event.status,
                "steps": event.steps,
                "nfe": event.evaluations,
                "seconds": round(event.seconds, 3),
                **{name: best[name].item() for name in ("loss", "loss_unfiltered", "loss_filtered")},
                "target": plain(question.target),
                "objective": plain(best["objective"]),
                "objective_filtered": plain(best["objective_filtered"]),
                "objective_saved": plain(objective_saved),
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

    @torch.no_grad()
    def measure(self, x):
        """Values (N, K) of the objective on pictures (N, C, H, W), in float32 proper."""
        with exact():
            return self.parts.question.objective(x.to(self.parts.prior.device))

    def close(self):
        """Write what is known when all samples are finished; returns the warnings that came with it, a line each."""
        run, parts, state = self.run, self.parts, self.state
        records = run.records()
        files = [run.path / record["file"] for record in records]
        run.save_grid(
            run.medium.sheet(run.query, files, lambda x: parts.question.objective(x.to(parts.prior.device)).cpu())
        )
        norms = [record["latent_norm"] for record in records]
        late = [line for line in (off_the_shell(norms, math.prod(parts.prior.latent_shape)),) if line]
        counts, seconds = Counter(record["status"] for record in records), state.seconds
        run.close(
            {"format": FORMAT}
            | parts.summary
            | {
                "warnings": [*parts.summary["warnings"], *late],
                "memory": str(state.memory.plan),
                "counts": {status: counts[status] for status in ("converged", "budget", "nonfinite")},
                "wall_seconds": round(seconds, 2),
                "samples_per_hour": round(3600 * len(records) / seconds, 1),
                "peak_memory_mib": round(peak_memory(parts.prior.device), 1),
                "null_spread": state.spread,
                "loss_scale": parts.question.scale,
                "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
            }
        )
        return late


def plain(values):
    """A number if there is one, else a list."""
    return values.item() if values.numel() == 1 else values.tolist()
