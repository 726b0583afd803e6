"""Run directories as the evaluation finds them: which there are, what is in them, what is missing or was replaced."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.request import build as configuration
from equidiff_cli.runs.writer import RunDir
from equidiff_cli.weights.read import sha256

NEEDED = ("prior", "target", "objective", "filter", "precision", "samples", "batch")
QUERY_HASH, WEIGHT_HASHES = "query (SHA-256 of its pixels)", "weights (SHA-256)"


@dataclass
class Run:
    """What a run left behind, as far as it can be used.

    Args:
        config: the composed configuration.
        query: (1, 3, H, W) in [0, 1], the picture that the target saw.
        records: of the samples whose picture is there and unaltered, by index.
        pictures: (N, 3, H, W) in [0, 1], one a record.
        latents: `z_start` and `z`, (N, C, H, W) each, one a record; None where they are gone.
        summary: of `summary.json`, empty for a run that is not finished.
        weights: SHA-256 of every file of weights that the run used, by part and file name, see `parts.py`.
        nonfinite: how many finished samples were not finite, and so are no pictures.
        evaluations: of the velocity network, by all finished samples.
    """

    path: Path
    config: DictConfig
    query: torch.Tensor
    records: list
    pictures: torch.Tensor
    latents: dict | None
    summary: dict
    weights: dict
    nonfinite: int
    evaluations: int
    missing: list = field(default_factory=list)
    warnings: list = field(default_factory=list)

    @property
    def complete(self):
        """Whether the run came to its end."""
        return bool(self.summary)


def read(path):
    """The `Run` in a directory; `ValueError` if there is nothing to evaluate in it."""
    directory = RunDir(path)
    if not (path / ".hydra" / "config.yaml").is_file():
        raise ValueError(f"{path}: has no .hydra/config.yaml, so its models are not known; equidiff run writes it")
    try:
        config = OmegaConf.load(path / ".hydra" / "config.yaml")
        summary = json.loads((path / "summary.json").read_text()) if directory.finished else {}
        facts = summary.get("configuration") or _json(directory.state / "configuration.json")
        records = directory.records()
    except (ValueError, KeyError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: its records are damaged ({' '.join(str(error).split())[:200]})") from None
    lacking = [key for key in NEEDED if key not in config]
    if lacking:
        raise ValueError(f"{path}: .hydra/config.yaml has no {lacking[0]}, this is a run of another version or program")
    if (medium := configuration.medium(config).name) != "pictures":
        raise ValueError(f"{path}: its samples are {medium}; only pictures can be evaluated")
    query = _query(path, facts.get(QUERY_HASH))
    finite = [record for record in records if record["status"] != "nonfinite"]
    usable, pictures, missing = [], [], []
    for record in finite:
        picture, why = _picture(path, record, query.shape[1:])
        if why:
            missing.append({"file": record["file"], "why": why})
        else:
            usable.append(record)
            pictures.append(picture)
    if not usable:
        gone = f": {len(missing)} pictures are {' or '.join(sorted({m['why'] for m in missing}))}" if missing else ""
        raise ValueError(f"{path}: there is no finished sample to evaluate{gone}")
    latents = _latents(directory, records, usable)
    weights = summary.get("weights") or facts.get(WEIGHT_HASHES) or {}
    run = Run(
        path,
        config,
        query,
        usable,
        torch.stack(pictures),
        latents,
        summary,
        weights,
        nonfinite=len(records) - len(finite),
        evaluations=sum(record["nfe"] for record in records),
        missing=missing,
    )
    if not run.complete:
        run.warnings.append(f"the run is not finished: these are its first {len(records)} of {config.samples} samples")
    if run.nonfinite:
        run.warnings.append(f"{run.nonfinite} samples were not finite: they count as failures and nowhere else")
    if missing:
        run.warnings.append("not evaluated: " + ", ".join(f"{gap['file']} ({gap['why']})" for gap in missing))
    if latents is None:
        run.warnings.append("latents.safetensors is missing or damaged: nothing is said of the noise")
    return run


def _json(file):
    return json.loads(file.read_text()) if file.exists() else {}


def _query(path, digest):
    """The query (1, 3, H, W); `ValueError` if it is not the one of the run."""
    try:
        with Image.open(path / "query.png") as image:
            picture = image.convert("RGB")
    except OSError:
        raise ValueError(f"{path}: query.png is missing or damaged, there is nothing to compare samples with") from None
    found = hashlib.sha256(picture.tobytes()).hexdigest()
    if digest not in (None, found):
        raise ValueError(f"{path}: query.png was replaced, its pixels have SHA-256 {found} instead of {digest}")
    return to_tensor(picture)[None]


def _picture(path, record, shape):
    """A sample's picture (3, H, W), or why it is not used."""
    file = path / record["file"]
    if not file.is_file():
        return None, "deleted"
    if record.get("sha256") not in (None, sha256(file)):
        return None, "replaced"
    try:
        with Image.open(file) as image:
            picture = to_tensor(image.convert("RGB"))
    except OSError:
        return None, "replaced"
    return (picture, None) if picture.shape == shape else (None, "replaced")


def _latents(directory, records, usable):
    """`z_start` and `z` of the usable samples; a run that came to its end has all `records` in the rows of one file."""
    everything, wanted = ([record["index"] for record in some] for some in (records, usable))
    file = directory.path / "latents.safetensors"
    try:
        if not file.exists():
            parts = [load_file(directory.state / f"{index}.safetensors") for index in wanted]
            return {name: torch.stack([part[name] for part in parts]) for name in ("z_start", "z")}
        rows = [everything.index(index) for index in wanted]
        return {name: tensor[rows] for name, tensor in load_file(file).items()}
    except (OSError, KeyError, IndexError, SafetensorError):
        return None
