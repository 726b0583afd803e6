"""Types of the top-level keys, and where the configurations are.

Defaults live in `configs/`, with a word on each.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass
class Budget:
    """How long to try: `steps` evaluations of the loss a sample, and the `threshold` below which it has converged."""

    steps: int = MISSING
    threshold: float = MISSING


@dataclass
class RunConfig:
    """Everything `equidiff run` takes; the groups first, then plain values."""

    prior: Any = MISSING
    target: Any = MISSING
    objective: Any = MISSING
    distance: Any = MISSING
    filter: Any = MISSING
    optimizer: Any = MISSING
    budget: Budget = MISSING
    query: str = MISSING
    samples: int = MISSING
    batch: Any = MISSING
    checkpoint: Any = MISSING
    gradient_steps: Any = MISSING
    seed: int = MISSING
    device: str = MISSING
    precision: str = MISSING
    tf32: bool = MISSING
    compile: bool = MISSING
    loss_scale: Any = MISSING
    null_samples: int = MISSING


@dataclass
class FetchConfig:
    """Everything `equidiff fetch` takes: the groups whose weights to bring."""

    prior: Any = None
    target: Any = None


@dataclass
class EvaluateConfig:
    """Everything `equidiff evaluate` takes besides the run directories."""

    null_samples: int = MISSING
    tolerances: list[float] = MISSING
    cutoffs: list[float] = MISSING
    jpeg: list[int] = MISSING
    heldout: Any = MISSING
    real: str | None = None
    likelihood: int = MISSING
    probes: int = MISSING
    likelihood_steps: int = MISSING
    output: str | None = None
    seed: int = MISSING
    device: str = MISSING
    batch: int = MISSING


@dataclass
class ReportConfig:
    """Everything `equidiff report` takes besides the run directories."""

    output: str | None = None
    format: str = MISSING


def register():
    """Make the schemas known to Hydra under the names the YAML files use."""
    ConfigStore.instance().store(name="run_schema", node=RunConfig)
    ConfigStore.instance().store(name="fetch_schema", node=FetchConfig)
    ConfigStore.instance().store(name="evaluate_schema", node=EvaluateConfig)
    ConfigStore.instance().store(name="report_schema", node=ReportConfig)


def configs():
    """The folder of the configurations: inside an installed package, above the package in a checkout."""
    package = Path(__file__).parents[1]
    return next(folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir())
