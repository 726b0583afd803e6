"""Everything that a run left behind, read from its files alone; a run that is not finished is read as far as it came.

Nothing here needs torch, a model or a configuration group: evaluation, report, scripts and people read runs with it.

    run = read("outputs/2026-01-31/12-00-00-000000")
    run.pictures  # (N, H, W, 3) uint8
    run.latents["z_start"]  # (N, C, H, W) float32
"""

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open

from equidiff_cli.runs import names
from equidiff_cli.runs.parse import json_of, last_line, losses_of, records_of, yaml_of

STATUSES = ("converged", "budget", "nonfinite")


@dataclass
class Run:
    """One run directory.

    Attributes:
        path, name: where it is; how it is called by those who look at several.
        finished: whether it came to its end.
        records: the lines of `samples.jsonl`, by index.
        settings: the configuration by dotted key, and what else results depend on, such as hashes of weights.
        config: the composed configuration, nested, as it was recorded; {} if it was not.
        summary: `summary.json`, or {}.
        losses: sample -> {column of `losses.csv`: list}, lists of the same length; None for what is not finite.
        evaluation, explanation: `evaluation.json` and `explanation.json`, or None.
        overrides, hydra: what was recorded of the command.
        missing: file -> why it is not the picture that was measured, "deleted" or "replaced".
        failure: the last line of the log of a run that left nothing, else "".
    """

    path: Path
    name: str
    finished: bool
    records: list
    settings: dict
    config: dict
    summary: dict
    losses: dict
    evaluation: dict | None
    explanation: dict | None
    overrides: list
    hydra: dict
    missing: dict = field(default_factory=dict)
    failure: str = ""

    @property
    def wanted(self):
        """How many samples were asked for."""
        return self.settings.get("samples", self.config.get("samples", len(self.records)))

    @property
    def pictured(self):
        """Whether the samples are pictures and not points, which are kept as lines of numbers."""
        return not any(str(record.get("file")).endswith(".txt") for record in self.records)

    @property
    def counts(self):
        """Finished samples by status."""
        statuses = [record.get("status") for record in self.records]
        return {status: statuses.count(status) for status in STATUSES}

    @property
    def weights(self):
        """SHA-256 of every file of weights that the run used, by part and file name."""
        return self.summary.get("weights") or self.settings.get("weights (SHA-256)") or {}

    @property
    def query_file(self):
        """The query as the target saw it."""
        return self.path / f"{names.QUERY}{'.png' if self.pictured else '.txt'}"

    def overlay_file(self, stem, method):
        """The map of a method over the query ("query") or over the sample of an index ("003"), where it was
        explained."""
        return self.path / names.EXPLANATIONS / f"{stem}-{method}.png"

    @property
    def grid_file(self):
        """The query and the samples side by side."""
        return self.path / names.GRID

    def file(self, record):
        """Where the sample of a record is."""
        return self.path / record["file"]

    @cached_property
    def chains(self):
        """What Markov chains kept: sample -> its records in `chains.jsonl` in order; {} for other methods."""
        found = {}
        for record in records_of(self.path / names.KEPT):
            found.setdefault(record["index"], []).append(record)
        return {index: sorted(records, key=lambda record: record["number"]) for index, records in found.items()}

    def picture(self, record):
        """The picture of one record of `records` or `chains`, (H, W, 3) uint8; `ValueError` if it cannot be read."""
        return self._picture(self.file(record))

    def unguided_file(self, record):
        """What the starting noise of a record's sample gave before anything was optimised; older runs have none."""
        return self.path / names.UNGUIDED / Path(record["file"]).name

    @cached_property
    def rows(self):
        """`records`, each with what `evaluation.json` says of that sample; the evaluation has the last word."""
        extra = {row["index"]: row for row in (self.evaluation or {}).get("per_sample", [])}
        keep = [
            {k: v for k, v in extra.get(r["index"], {}).items() if k not in ("index", "file")} for r in self.records
        ]
        return [record | more for record, more in zip(self.records, keep, strict=True)]

    @property
    def loss_rows(self):
        """`losses` as a table: one dict a sample and step."""
        return [
            {"sample": sample} | dict(zip(columns, values, strict=True))
            for sample, columns in self.losses.items()
            for values in zip(*columns.values(), strict=True)
        ]

    @property
    def metrics(self):
        """What `evaluation.json` measured of the whole run, by "section.name"; {} without an evaluation."""
        found = (self.evaluation or {}).get("metrics", [])
        return {f"{metric['section']}.{metric['name']}": metric for metric in found}

    @cached_property
    def query(self):
        """The query (H, W, 3) uint8; `ValueError` if it cannot be read."""
        return self._picture(self.query_file)

    @cached_property
    def pictures(self):
        """The pictures of `records`, (N, H, W, 3) uint8; `ValueError` if one is missing or was replaced."""
        if self.missing:
            gone = ", ".join(f"{file} ({why})" for file, why in sorted(self.missing.items()))
            raise ValueError(f"{self.path}: not the pictures that were measured: {gone}")
        return np.stack([self._picture(self.file(record)) for record in self.records])

    def _picture(self, file):
        try:
            with Image.open(file) as image:
                return np.asarray(image.convert("RGB"))
        except OSError:
            raise ValueError(f"{self.path}: {file.relative_to(self.path)} is missing, or no picture") from None

    @cached_property
    def latents(self):
        """`z_start` and `z` of `records`, each (N, C, H, W) float32; None where they are missing or damaged."""
        try:
            if self.latents_file.exists():
                with safe_open(self.latents_file, "numpy") as opened:
                    found = {name: opened.get_tensor(name) for name in ("z_start", "z")}
                return found if all(len(array) == len(self.records) for array in found.values()) else None
            parts = [self._unfinished_latents(record["index"]) for record in self.records]
            return {name: np.stack([part[name] for part in parts]) for name in ("z_start", "z")}
        except (OSError, SafetensorError, ValueError):
            return None

    @property
    def latents_file(self):
        return self.path / names.LATENTS

    def _unfinished_latents(self, index):
        with safe_open(self.path / names.STATE / f"{index}.safetensors", "numpy") as opened:
            return {name: opened.get_tensor(name) for name in ("z_start", "z")}

    @cached_property
    def dimensions(self):
        """Numbers in one latent, from the header of a file; None if no latent was saved."""
        for file in (self.latents_file, *sorted((self.path / names.STATE).glob("[0-9]*.safetensors"))[:1]):
            if file.is_file():
                try:
                    with safe_open(file, "numpy") as opened:
                        shape = opened.get_slice("z_start").get_shape()
                except SafetensorError:  # damaged: less is known
                    return None
                return math.prod(shape[1:] if file == self.latents_file else shape)
        return None


def read(path, name=None):
    """The `Run` in the directory `path`; `ValueError` if a file of it is damaged."""
    path = Path(path)
    summary = json_of(path / names.SUMMARY) or {}
    config = yaml_of(path / names.ASKED / "config.yaml") or {}
    records = records_of(path / names.RECORDS)
    evaluation = json_of(path / names.EVALUATION)
    run = Run(
        path=path,
        name=path.resolve().name if name is None else name,
        finished=bool(summary),
        records=records,
        settings=summary.get("configuration") or json_of(path / names.STATE / "configuration.json") or flat(config),
        config=config,
        summary=summary,
        losses=losses_of(path / names.LOSSES),
        evaluation=evaluation,
        explanation=json_of(path / names.EXPLANATION),
        overrides=yaml_of(path / names.ASKED / "overrides.yaml") or [],
        hydra=(yaml_of(path / names.ASKED / "hydra.yaml") or {}).get("hydra") or {},
        missing={entry["file"]: entry["why"] for entry in (evaluation or {}).get("missing", [])},
    )
    if not (run.finished or records or (path / names.STATE).exists()):
        run.failure = last_line(path / names.LOG) or "nothing was written"
    run.missing |= {record["file"]: why for record in records if (why := not_the_measured(run, record))}
    return run


def flat(config, prefix=""):
    """All values of a nested configuration by their dotted key."""
    found = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def error(run, row):
    """How far the objective of the saved picture of one of `run.rows` is from the query's, and in which unit; (None,
    unit) if unknown.

    The unit is the null spread, the standard deviation over unguided samples, where it is known: from the evaluation,
    or for the squared distance as the root of the null distance that the run recorded, a variance.
    """
    if row.get("error_spreads") is not None:
        return row["error_spreads"], "null spreads"
    saved, target = row.get("objective_saved"), row.get("target")
    values = zip(*([value] if not isinstance(value, list) else value for value in (saved, target)), strict=True)
    pairs = [pair for pair in values if pair[1] is not None]  # a value that was raised has nothing to be near to
    if not pairs or any(None in pair for pair in pairs):
        return None, ""
    distance = math.dist(*zip(*pairs, strict=True))
    null_distance = run.summary.get("null_spread")
    several = (run.summary.get("question") or {}).get("terms")  # each has a null distance of its own
    if null_distance and not several and str(run.settings.get("distance._target_")).endswith(".SquaredL2"):
        return distance / math.sqrt(null_distance), "null spreads"
    return distance, "units of the objective"


def noiseless(records):
    """Whether samples were made from no noise, by their records: then they have no latents, and none are missing."""
    return bool(records) and all("latent_norm" in record and record["latent_norm"] is None for record in records)


def typicality(run, record):
    """|z|^2 / d of the starting noise, 1 for a typical one; None if unknown."""
    norm = record.get("latent_norm")
    return None if norm is None or not run.dimensions else norm**2 / run.dimensions


def not_the_measured(run, record):
    """Why the file of a sample is not what was measured, or "" if it is, as far as its hash is known."""
    file = run.path / record.get("file", "")
    if not file.is_file():
        return "deleted"
    if "sha256" in record and hashlib.sha256(file.read_bytes()).hexdigest() != record["sha256"]:
        return "replaced"
    return ""
