"""A run's members as tensors, ready to be measured: what can be used of them, and what is missing or was replaced."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.request.build import recorded
from equidiff_cli.runs import reader
from equidiff_cli.runs.names import REGION

QUERY_HASH = "query (SHA-256 of its pixels)"


@dataclass
class Kept:
    """States that Markov chains kept, as many of each: M chains of N states.

    Args:
        pictures: (M N, 3, H, W) in [0, 1], chain by chain.
        norms: of the noise (M, N).
        every: moves between two states.
    """

    pictures: torch.Tensor
    norms: torch.Tensor
    every: int


@dataclass
class Members:
    """What a run left behind, as far as it can be used.

    Args:
        config: the composed configuration, from which `models.py` builds the run's parts again.
        query: (1, 3, H, W) in [0, 1], the picture that the target saw.
        records: of the samples whose picture is there and unaltered, by index.
        pictures: (N, 3, H, W) in [0, 1], one a record.
        latents: `z_start` and `z`, (N, C, H, W) each, one a record; None where they are gone.
        summary: of `summary.json`, empty for a run that is not finished.
        overrides: what was given when the run was started.
        weights: SHA-256 of every file of weights that the run used, by part and file name.
        nonfinite: how many finished samples were not finite, and so are no pictures.
        region: (1, 1, H, W), 1 where alone pictures may differ, or whose evidence is held; None without one.
        evaluations: of the velocity network, by all finished samples.
    """

    path: Path
    config: object
    query: torch.Tensor
    records: list
    pictures: torch.Tensor
    latents: dict | None
    summary: dict
    overrides: list
    weights: dict
    nonfinite: int
    evaluations: int
    kept: Kept | None = None
    region: torch.Tensor | None = None
    missing: list = field(default_factory=list)
    warnings: list = field(default_factory=list)

    @property
    def complete(self):
        """Whether the run came to its end."""
        return bool(self.summary)


def read(path):
    """The `Members` in a run directory; `ValueError` if there is nothing to evaluate in it."""
    run = reader.read(path)
    if not run.config:
        raise ValueError(f"{path}: has no .hydra/config.yaml, so its models are not known; equidiff run writes it")
    config = recorded(run)
    medium = run.summary.get("medium", "pictures" if run.pictured else "points")
    if medium != "pictures":
        raise ValueError(f"{path}: its samples are {medium}; only pictures can be evaluated")
    query = query_of(run)
    finite = [record for record in run.records if record["status"] != "nonfinite"]
    rows, pictures, missing = [], [], []
    for row, record in enumerate(run.records):
        if record in finite:
            picture, why = picture_of(run, record, query.shape[1:])
            if why:
                missing.append({"file": record["file"], "why": why})
            else:
                rows.append(row)
                pictures.append(picture)
    if not rows:
        gone = f": {len(missing)} pictures are {' or '.join(sorted({m['why'] for m in missing}))}" if missing else ""
        raise ValueError(f"{path}: there is no finished sample to evaluate{gone}")
    latents = run.latents and {name: torch.from_numpy(array[rows].copy()) for name, array in run.latents.items()}
    members = Members(
        run.path,
        config,
        query,
        [run.records[row] for row in rows],
        torch.stack(pictures),
        latents,
        run.summary,
        run.overrides,
        run.weights,
        nonfinite=len(run.records) - len(finite),
        evaluations=sum(record["nfe"] for record in run.records),
        kept=kept_of(run, query.shape[1:]),
        missing=missing,
        region=region_of(run, query.shape[-2:]),
    )
    members.warnings += warnings_of(members, run)
    return members


def warnings_of(members, run):
    """Sentences on what is not there."""
    if not run.finished:
        yield f"the run is not finished: these are its first {len(run.records)} of {run.wanted} samples"
    if members.nonfinite:
        yield f"{members.nonfinite} samples were not finite: they count as failures and nowhere else"
    if members.missing:
        yield "not evaluated: " + ", ".join(f"{gap['file']} ({gap['why']})" for gap in members.missing)
    if members.config.get("diverse"):
        yield "samples of a batch repelled each other: they are not independent, as intervals and tests take them for"
    if members.latents is None and not reader.noiseless(run.records):
        yield "latents.safetensors is missing or damaged: nothing is said of the noise"
    if members.kept is None and run.chains:
        yield "states of chains are missing, nothing is said of whether they have mixed"


def kept_of(run, shape):
    """The `Kept` of the chains that came to their end; None where there are none, or a picture of one is gone."""
    chains = [run.chains[record["index"]] for record in run.records if record["index"] in run.chains]
    if not chains:
        return None
    try:
        pictures = [to_tensor(run.picture(one)) for chain in chains for one in chain]
    except ValueError:
        return None
    if any(picture.shape != shape for picture in pictures) or len({len(chain) for chain in chains}) > 1:
        return None
    norms = torch.tensor([[one["latent_norm"] for one in chain] for chain in chains], dtype=torch.float64)
    every = run.settings.get("method.every", 1)
    return Kept(torch.stack(pictures), norms, every)


def query_of(run):
    """The query (1, 3, H, W); `ValueError` if it is not the one of the run."""
    try:
        picture = run.query
    except ValueError:
        raise ValueError(
            f"{run.path}: query.png is missing or damaged, there is nothing to compare samples with"
        ) from None
    found, digest = hashlib.sha256(picture.tobytes()).hexdigest(), run.settings.get(QUERY_HASH)
    if digest not in (None, found):
        raise ValueError(f"{run.path}: query.png was replaced, its pixels have SHA-256 {found} instead of {digest}")
    return to_tensor(picture)[None]


def region_of(run, size):
    """The mask (1, 1, H, W) that a run with a region left; `ValueError` where it is gone."""
    if run.config.get("region") is None:
        return None
    try:
        with Image.open(run.path / REGION) as image:
            mask = to_tensor(image.convert("RGB"))[None, :1]
    except OSError:
        mask = None
    if mask is None or mask.shape[-2:] != size:
        raise ValueError(f"{run.path}: {REGION} is missing or damaged, so what was asked is not known")
    return mask


def picture_of(run, record, shape):
    """A sample's picture (3, H, W), or why it is not used: the evaluation before does not count, the files do."""
    if why := reader.not_the_measured(run, record):
        return None, why
    try:
        with Image.open(run.file(record)) as image:
            picture = to_tensor(np.asarray(image.convert("RGB")))
    except OSError:
        return None, "replaced"
    return (picture, None) if picture.shape == shape else (None, "replaced")
