"""What a run directory says, read from its files alone; a run that is not finished is read as far as it came."""

import csv
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from safetensors import SafetensorError, safe_open

STATUSES = ("converged", "budget", "nonfinite")


@dataclass
class Run:
    """One run directory.

    Attributes:
        path, name: where it is; how it is called on the page.
        finished: whether it came to its end.
        records: the lines of `samples.jsonl`, by index, each with what `evaluation.json` adds for that sample.
        settings: the configuration by dotted key.
        summary: `summary.json`, or {}.
        losses: sample -> {"step", "loss", "latent_norm": lists of the same length}; None for what is not finite.
        dimensions: numbers in one latent, or None if no latent was saved.
        evaluation: `evaluation.json`, or None.
        overrides, hydra: what `.hydra` recorded of the command.
        missing: file -> why it is not the picture that was measured.
        failure: the last line of the log of a run that left nothing, else "".
    """

    path: Path
    name: str
    finished: bool
    records: list
    settings: dict
    summary: dict
    losses: dict
    dimensions: int | None
    evaluation: dict | None
    overrides: list
    hydra: dict
    missing: dict = field(default_factory=dict)
    failure: str = ""

    @property
    def wanted(self):
        """How many samples were asked for."""
        return self.settings.get("samples", len(self.records))

    @property
    def pictured(self):
        """Whether the samples are pictures and not points, which are kept as lines of numbers."""
        return not any(str(record.get("file")).endswith(".txt") for record in self.records)

    @property
    def counts(self):
        """Finished samples by status."""
        statuses = [record.get("status") for record in self.records]
        return {status: statuses.count(status) for status in STATUSES}


def read(path, name):
    """The `Run` in the directory `path`; `ValueError` if a file of it is damaged."""
    path = Path(path)
    summary, evaluation = _json(path / "summary.json") or {}, _json(path / "evaluation.json")
    records = _records(path / "samples.jsonl")
    for extra in (evaluation or {}).get("per_sample", []):
        if extra["index"] in records:
            records[extra["index"]] |= {key: value for key, value in extra.items() if key not in ("index", "file")}
    run = Run(
        path=path,
        name=name,
        finished=bool(summary),
        records=[records[index] for index in sorted(records)],
        settings=summary.get("configuration") or _json(path / ".state" / "configuration.json") or _composed(path),
        summary=summary,
        losses=_losses(path / "losses.csv"),
        dimensions=_dimensions(path),
        evaluation=evaluation,
        overrides=_yaml(path / ".hydra" / "overrides.yaml") or [],
        hydra=(_yaml(path / ".hydra" / "hydra.yaml") or {}).get("hydra") or {},
        missing={entry["file"]: entry["why"] for entry in (evaluation or {}).get("missing", [])},
    )
    if not (run.finished or run.records or (path / ".state").exists()):
        run.failure = _last_line(path / "run.log")
    for record in run.records:
        if why := _not_the_measured(path, record):
            run.missing[record["file"]] = why
    return run


def _not_the_measured(path, record):
    """Why the file of a sample is not what was measured, or "" if it is, as far as its hash is known."""
    file = path / record.get("file", "")
    if not file.is_file():
        return "deleted"
    if "sha256" in record and hashlib.sha256(file.read_bytes()).hexdigest() != record["sha256"]:
        return "replaced"
    return ""


def error(run, record):
    """How far the objective of the saved picture is from the query's, and in which unit; (None, unit) if unknown.

    The unit is the standard deviation over unguided samples where it is known: from the evaluation, or from the
    run itself for the squared distance, whose null spread is a variance.
    """
    if record.get("error_spreads") is not None:
        return record["error_spreads"], "null spreads"
    saved, target = record.get("objective_saved"), record.get("target")
    values = zip(*([value] if not isinstance(value, list) else value for value in (saved, target)), strict=True)
    pairs = list(values)
    if any(None in pair for pair in pairs):
        return None, ""
    distance = math.dist(*zip(*pairs, strict=True))
    spread = run.summary.get("null_spread")
    if spread and str(run.settings.get("distance._target_")).endswith(".SquaredL2"):
        return distance / math.sqrt(spread), "null spreads"
    return distance, "units of the objective"


def typicality(run, record):
    """|z|^2 / d of the starting noise, 1 for a typical one; None if unknown."""
    norm = record.get("latent_norm")
    return None if norm is None or not run.dimensions else norm**2 / run.dimensions


def _json(file):
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError:
        raise ValueError(f"{file.parent}: {file.name} is damaged, it is not JSON") from None


def _yaml(file):
    if not file.is_file():
        return None
    try:
        return yaml.safe_load(file.read_text())
    except yaml.YAMLError:
        raise ValueError(f"{file.parent}: {file.name} is damaged, it is not YAML") from None


def _records(file):
    """The lines of `samples.jsonl` by index; the last line of a run that is still going may be half written."""
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    try:
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return {record["index"]: record for record in records}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{file.parent}: {file.name} is damaged, a line is not a record of a sample") from None


def _losses(file):
    losses = {}
    if file.is_file():
        with open(file, newline="") as opened:
            for row in csv.DictReader(opened):
                if row["latent_norm"] is None:  # the last line, half written
                    continue
                columns = losses.setdefault(int(row["sample"]), {"step": [], "loss": [], "latent_norm": []})
                columns["step"].append(int(row["step"]))
                for name in ("loss", "latent_norm"):
                    columns[name].append(_finite(row[name]))
    return losses


def _finite(text):
    value = float(text or "nan")
    return value if math.isfinite(value) else None


def _dimensions(path):
    """Numbers in one latent: from the header of the latents, or of one that an unfinished run has kept."""
    for file in (path / "latents.safetensors", *sorted((path / ".state").glob("[0-9]*.safetensors"))[:1]):
        if file.is_file():
            try:
                with safe_open(file, "numpy") as opened:
                    shape = opened.get_slice("z_start").get_shape()
            except SafetensorError:  # damaged: the page says less
                return None
            return math.prod(shape[1:] if file.parent == path else shape)
    return None


def _composed(path):
    """The composed configuration by dotted key."""

    def walk(node, prefix):
        for key, value in node.items():
            yield from walk(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]

    return dict(walk(_yaml(path / ".hydra" / "config.yaml") or {}, ""))


def _last_line(file):
    lines = [line for line in file.read_text().splitlines() if line.strip()] if file.is_file() else []
    return lines[-1] if lines else "nothing was written"
