"""Types of the top-level keys, where the configurations are, and configurations composed of words.

Defaults live in `configs/`, with a word on each; here are only types. Hydra is imported where it is needed: help
answers without it.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass
class Budget:
    """How long to try: `steps` evaluations of the loss a sample, the `threshold` below which it has converged, and the
    `patience` of evaluations without progress after which it starts again from other noise."""

    steps: int = MISSING
    threshold: Any = MISSING
    patience: int | None = MISSING


@dataclass
class RunConfig:
    """Everything `equidiff run` takes; the groups first, then plain values."""

    method: Any = MISSING
    prior: Any = MISSING
    target: Any = MISSING
    question: Any = MISSING
    objective: Any = MISSING
    distance: Any = MISSING
    filter: Any = MISSING
    robust: Any = MISSING
    optimizer: Any = MISSING
    budget: Budget = MISSING
    cluster: Any = MISSING
    query: str = MISSING
    near: Any = MISSING
    least_psnr: float = MISSING
    region: Any = MISSING
    region_role: str = MISSING
    region_share: float = MISSING
    diverse: Any = MISSING
    samples: int = MISSING
    batch: Any = MISSING
    pad: bool = MISSING
    checkpoint: Any = MISSING
    gradient_steps: Any = MISSING
    seed: int = MISSING
    device: str = MISSING
    precision: str = MISSING
    tf32: bool = MISSING
    compile: bool = MISSING
    loss_scale: Any = MISSING
    null_samples: int = MISSING
    shards: int = MISSING
    shard: int | None = MISSING
    lock: bool = MISSING


@dataclass
class FetchConfig:
    """Everything `equidiff fetch` takes: the groups whose weights to bring."""

    prior: Any = None
    target: Any = None


@dataclass
class LayersConfig:
    """Everything `equidiff layers` takes: the target, and the prior whose pictures it sees."""

    prior: Any = MISSING
    target: Any = MISSING


@dataclass
class EvaluateConfig:
    """Everything `equidiff evaluate` takes besides the run directories."""

    null_samples: int = MISSING
    tolerances: list[float] = MISSING
    cutoffs: list[float] = MISSING
    jpeg: list[int] = MISSING
    heldout: Any = MISSING
    real: str | None = None
    typical: Any = MISSING
    typical_tolerance: float = MISSING
    bandwidth: float = MISSING
    likelihood: int = MISSING
    probes: int = MISSING
    likelihood_steps: int = MISSING
    all: bool = MISSING
    output: str | None = None
    seed: int = MISSING
    device: str = MISSING
    batch: int = MISSING


@dataclass
class AuditConfig:
    """Everything `equidiff audit` takes besides the run directories."""

    attribute: list[str] = MISSING
    group: str = MISSING
    null_samples: int = MISSING
    permutations: int = MISSING
    heldout: Any = MISSING
    real: str | None = None
    typical: Any = MISSING
    typical_tolerance: float = MISSING
    bandwidth: float = MISSING
    again: bool = MISSING
    output: str | None = None
    seed: int = MISSING
    device: str = MISSING
    batch: int = MISSING


@dataclass
class ExplainConfig:
    """Everything `equidiff explain` takes besides the run directories."""

    methods: Any = MISSING
    baseline: str = MISSING
    most: int = MISSING
    null_samples: int = MISSING
    cells: int = MISSING
    steps: int = MISSING
    draws: int = MISSING
    top: float = MISSING
    near: float = MISSING
    layers: Any = MISSING
    concepts: str | None = None
    counterparts: int = MISSING
    clusters: int = MISSING
    segmentation: str | None = None
    all: bool = MISSING
    seed: int = MISSING
    device: str = MISSING
    batch: int = MISSING


@dataclass
class ReportConfig:
    """Everything `equidiff report` takes besides the run directories."""

    output: str | None = None
    format: str = MISSING


SCHEMAS = {
    "run": RunConfig,
    "fetch": FetchConfig,
    "layers": LayersConfig,
    "evaluate": EvaluateConfig,
    "audit": AuditConfig,
    "explain": ExplainConfig,
    "report": ReportConfig,
}


def configs():
    """The folder of the configurations: inside an installed package, above the package in a checkout."""
    package = Path(__file__).parents[1]
    return next(folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir())


def register():
    """Make the schemas known to Hydra under the names the YAML files use."""
    from hydra.core.config_store import ConfigStore

    for command, schema in SCHEMAS.items():
        ConfigStore.instance().store(name=f"{command}_schema", node=schema)


@contextmanager
def composing():
    """Hydra ready to compose: as the command in work has set it up, or else with the shipped configurations."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    if GlobalHydra.instance().is_initialized():
        yield
        return
    register()
    with initialize_config_dir(str(configs()), version_base="1.3"):
        yield


def composed(*words, command="run"):
    """The configuration that `equidiff <command> <words>` would take."""
    from hydra import compose

    with composing():
        return compose(command, overrides=list(words))


def options(group):
    """The names of the options of a group, those of the user's own folders included."""
    from hydra.core.global_hydra import GlobalHydra

    with composing():
        return GlobalHydra.instance().config_loader().get_group_options(group)


def is_whole(group, name):
    """Whether an option of a group is sound and says all that it needs, so that nothing has to be given beside it."""
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        return not OmegaConf.missing_keys(composed(f"{group}={name}")[group])
    except (HydraException, OmegaConfBaseException, YAMLError):
        return False
