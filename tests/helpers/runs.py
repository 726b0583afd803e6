"""Small run directories, written by the same writer that a run uses; nothing is optimised."""

import json
import math

import torch
import yaml

from equidiff_cli.pictures.convert import to_image
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.runs.writer import RunDir

STATUSES = ("converged", "budget", "nonfinite")
QUERY_VALUE = 3.5
NULL_VARIANCE = 4.0  # the null distance of a squared distance: one null spread is 2 units of the objective


def picture(seed, side):
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))


def off(index):
    """How far the saved objective of sample `index` is from the query's."""
    return 0.02 * (1 + index * 7 % 5)


def seen(index):
    """What the target sees in sample `index`."""
    return {"class": "cat", "probability": round(0.9 - index / 100, 2)}


def also_seen(index):
    """What another network sees in it: every other one is a truck."""
    return {"class": ("cat", "truck")[index % 2], "probability": round(0.5 + index / 100, 2)}


class MakeRun:
    """Writes run directories below `folder`."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name, samples=4, side=8, finished=True, wanted=None, steps=6, overrides=(), **settings):
        """One run directory; every third sample has another status, and errors are those of `off`."""
        facts = {
            "prior._target_": "equidiff_cli.prior.embedded.Embedded",
            "prior.steps": 10,
            "prior.solver": "euler",
            "target.name": "smallconv",
            "objective._target_": "equidiff_cli.parts.objectives.Logit",
            "distance._target_": "equidiff_cli.parts.distances.SquaredL2",
            "filter._target_": "equidiff_cli.parts.filters.Gaussian",
            "filter.cutoff": 0.5,
            "budget.steps": steps,
            "budget.threshold": 0.01,
            "query": "cat",
            "samples": wanted or samples,
            "loss_scale": "auto",
        } | settings
        run = RunDir(self.folder / name, Pictures())
        run.open(facts)
        run.save_query(picture(1000, side))
        for index in range(samples):
            self.sample(run, index, side, steps)
        self.hydra(run.path, overrides, facts)
        if finished:
            run.save_grid(to_image(picture(1001, 4 * side)))
            run.close(self.summary(facts, run.records()))
        run.lock.close()
        return run.path

    def sample(self, run, index, side, steps):
        latents = [torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(index + k)) for k in (0, 500)]
        norm = latents[0].norm().item()
        _, file = run.save_picture(index, picture(index, side), *latents)
        run.save_unguided(index, picture(index + 2000, side))
        run.save_steps(
            (index, k, 10.0 ** (1 - k + index % 3), 0.1, 0.2, 1.0, norm + k / 10) for k in range(1, steps + 1)
        )
        run.save_record(
            {
                "index": index,
                "seed": 4_000_000_000 + index,
                "status": STATUSES[index % 3],
                "steps": steps - index % 3,
                "seconds": 1.5,
                "loss": math.nan if index % 3 == 2 else 10.0 ** (-index - 1),
                "target": QUERY_VALUE,
                "objective": QUERY_VALUE,
                "objective_saved": QUERY_VALUE - off(index),
                "seen": {"smallconv": seen(index)},
                "latent_norm": norm,
                "file": file,
            }
        )

    def summary(self, facts, records):
        return {
            "configuration": facts,
            "objective": "logit of cat",
            "prior": "embedded",
            "target": facts["target.name"],
            "query": facts["query"],
            "device": "cpu",
            "precision": "fp32",
            "weights": {"target/smallconv.safetensors": "ab" * 32},
            "counts": {status: sum(r["status"] == status for r in records) for status in STATUSES},
            "wall_seconds": 12.0,
            "null_spread": NULL_VARIANCE,
            "loss_scale": 1 / NULL_VARIANCE,
            "query_seen": {"smallconv": {"class": "cat", "probability": 0.97}},
            "versions": {"python": "3.11", "equidiff": "0.1.0"},
        }

    def hydra(self, path, overrides, facts):
        (path / ".hydra").mkdir(exist_ok=True)
        (path / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
        (path / ".hydra" / "config.yaml").write_text(yaml.safe_dump({"query": facts["query"], "prior": {"steps": 10}}))
        (path / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"choices": {}}}}))

    def sweep(self, name, key, values, **settings):
        """A sweep's directory with one run a value of `key`."""
        for job, value in enumerate(values):
            self(f"{name}/{job}", overrides=[f"{key}={value}"], **settings | {key: value})
        (self.folder / name / "multirun.yaml").write_text("{}")
        return self.folder / name


def evaluate(path, **changes):
    """Write an `evaluation.json` into a run directory, with a metric of every kind and two curves."""
    records = [json.loads(line) for line in (path / "samples.jsonl").read_text().splitlines()]
    cutoffs = [0.05, 0.1, 0.2, 0.4, 0.8, 1.0]
    evaluation = {
        "format": 1,
        "complete": True,
        "warnings": [],
        "missing": [],
        "null_spread": 2.0,
        "null_samples": 256,
        "per_sample": [
            {"index": r["index"], "file": r["file"], "error_spreads": off(r["index"]) / 2, "jpeg_90": r["index"] / 7}
            for r in records
        ],
        "columns": {
            "error_spreads": {"title": "error", "unit": "null spreads", "about": "on the saved picture"},
            "jpeg_90": {"title": "error after JPEG 90", "unit": "null spreads", "about": "saved with quality 90"},
        },
        "metrics": [
            {
                "section": "invariance",
                "name": "error_median",
                "title": "median error on the saved picture",
                "value": 0.0123,
                "low": 0.005,
                "high": 0.02,
                "interval": "95 % bootstrap over samples",
                "unit": "null spreads",
                "null": 1.03,
                "samples": len(records),
                "needs": 1,
                "better": "lower",
                "source": "this run",
                "about": "distance of the objective to the query’s",
            },
            {
                "section": "diversity",
                "name": "vendi",
                "title": "Vendi score",
                "value": 3.61,
                "unit": "effective samples",
                "null": 3.9,
                "samples": len(records),
                "needs": 2,
                "better": "higher",
                "source": "Vendi score (Friedman & Dieng 2023)",
                "about": "how many samples there are, counting similar ones once",
            },
            {
                "section": "realism",
                "name": "frechet",
                "title": "Fréchet distance to unguided samples",
                "value": None,
                "reason": f"needs 256 samples, there are {len(records)}",
                "null": None,
                "null_reason": "it is measured against them",
                "samples": len(records),
                "needs": 256,
                "better": "lower",
            },
        ],
        "curves": [
            {
                "section": "frequency",
                "name": "deviation",
                "title": "deviation after a low-pass filter",
                "about": "How far the objective of the low-passed sample is from the query’s.",
                "x": {"title": "cutoff", "unit": "of Nyquist", "values": cutoffs, "scale": "linear"},
                "y": {"title": "deviation", "unit": "null spreads", "scale": "log"},
                "lines": [
                    {
                        "name": "samples",
                        "values": [0.9 * math.exp(-5 * c) + 0.01 for c in cutoffs],
                        "low": [0.6 * math.exp(-5 * c) + 0.008 for c in cutoffs],
                        "high": [1.3 * math.exp(-5 * c) + 0.02 for c in cutoffs],
                    },
                    {"name": "unguided", "values": [1.2 - 0.2 * c for c in cutoffs]},
                ],
            },
            {
                "section": "frequency",
                "name": "spectrum",
                "title": "power spectrum",
                "about": "Radially averaged power of the pictures.",
                "x": {"title": "frequency", "unit": "of Nyquist", "values": cutoffs, "scale": "log"},
                "y": {"title": "power", "unit": "dB", "scale": "linear"},
                "lines": [
                    {"name": "query", "values": [-20 * math.log10(c) for c in cutoffs]},
                    {"name": "samples", "values": [-21 * math.log10(c) - 1 for c in cutoffs]},
                    {"name": "unguided", "values": [-22 * math.log10(c) - 2 for c in cutoffs[:-1]] + [None]},
                    {"name": "real", "values": [-19 * math.log10(c) - 0.5 for c in cutoffs]},
                ],
            },
        ],
    } | changes
    (path / "evaluation.json").write_text(json.dumps(evaluation))
    return path
