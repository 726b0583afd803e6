"""What may be asked of a cluster, checked without anything of it."""

from importlib.util import find_spec

from omegaconf import DictConfig, OmegaConf

from equidiff_cli.checks import number, one_of
from equidiff_cli.errors import WrongRequest

NEEDS = {  # engine: (modules, extra of this package that brings them)
    "slurm": (("submitit",), "slurm"),
    "ray": (("ray", "hydra_plugins.hydra_ray_launcher"), "ray"),
    "joblib": (("hydra_plugins.hydra_joblib_launcher",), "joblib"),
}
PLACES = ("query", "cluster", "shards", "shard", "lock")  # where things are done and found, not what is done
ENGINES = ("none", *NEEDS)
OURS = ("nodes", "ntasks", "ntasks-per-node", "tasks-per-node", "array", "output", "error", "signal", "requeue")


def indices(config: DictConfig):
    """The samples to draw: all, or those of one shard, which are neighbours."""
    if config.shard is None:
        return range(config.samples)
    first, last = (k * config.samples // config.shards for k in (config.shard, config.shard + 1))
    return range(first, last)


def check_cluster(config: DictConfig):
    """`ValueError` for the first value of the group `cluster`, or of `shards`, that is out of range."""
    cluster = config.cluster
    number("shards", config.shards, minimum=1, maximum=config.samples, whole=True)
    if config.shard is not None:
        number("shard", config.shard, minimum=0, maximum=config.shards - 1, whole=True)
    if config.shards > 1 and config.diverse:
        raise ValueError(f"diverse={config.diverse}: the samples of a run repel each other; it cannot have shards")
    if config.shards > 1 and config.prior.get("_target_", "").startswith("equidiff_cli.circles."):
        raise ValueError(f"shards={config.shards}: a run on points of the plane is short and has none; leave it out")
    one_of("cluster.engine", cluster.engine, ENGINES)
    for name, bounds in {
        "gpus": dict(minimum=0, whole=cluster.engine == "slurm"),
        "cpus": dict(minimum=1, whole=True),
        "memory": dict(above=0),
        "hours": dict(above=0),
        "parallel": dict(minimum=1, whole=True),
        "chunk": dict(minimum=1, whole=True),
        "workers": dict(minimum=-1, whole=True),
    }.items():
        if cluster.get(name) is not None or (name in cluster and name != "memory"):
            number(f"cluster.{name}", cluster[name], **bounds)
    if cluster.get("workers") == 0:
        raise ValueError("cluster.workers=0: must be at least 1, or -1 for one a processor")
    if "wait" in cluster and not isinstance(cluster.wait, bool):
        raise ValueError(f"cluster.wait={cluster.wait}: must be true or false")
    if not OmegaConf.is_list(cluster.get("setup", OmegaConf.create([]))):
        raise ValueError(
            f"cluster.setup={cluster.setup}: must be a list of lines, such as cluster.setup=[module load a]"
        )
    options = cluster.get("options", OmegaConf.create({}))
    if not OmegaConf.is_dict(options):
        raise ValueError(f"cluster.options={options}: must hold options of sbatch, such as {{constraint: a100}}")
    for name in options:
        if name.replace("_", "-") in OURS:
            raise ValueError(
                f"cluster.options.{name}={options[name]}: a job is one task on one node, shards=... takes more jobs;"
                f" may not be set: {', '.join(OURS)}"
            )


def check_installed(engine):
    """`WrongRequest` for an engine whose package is not here."""
    modules, extra = NEEDS[engine]
    for module in modules:
        try:
            found = find_spec(module)
        except ModuleNotFoundError:
            found = None
        if not found:
            raise WrongRequest(f"cluster={engine}: {module} is not installed; pip install 'equidiff[{extra}]'")
