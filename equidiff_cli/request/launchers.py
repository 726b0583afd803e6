"""Engines that Hydra has a launcher for: joblib and Ray."""

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode

from equidiff_cli.errors import Failed
from equidiff_cli.request.job import Checked
from equidiff_cli.request.schema import composing


def launch(cluster, sweep, jobs):
    """Do the `jobs`, lists of `Task`s; returns when none is in work, raises `Failed` where the engine broke down.

    A job that fails is told by what it leaves in its directories.
    """
    with composing():
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("run", [*words(cluster), f"hydra.sweep.dir={sweep}"], RunMode.MULTIRUN)
        work = [Checked(tasks) for tasks in jobs]
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=loader, callbacks=Callbacks()),
            task_function=lambda config: work[HydraConfig.get().job.num](),
            config=config,
        )
        places = [[f"hydra.sweep.subdir={tasks[0].directory.relative_to(sweep)}"] for tasks in jobs]
        try:
            launcher.launch(places, initial_job_idx=0)
        except Exception as error:  # of the engine: of any class, such as a worker that was killed
            raise Failed(f"cluster={cluster['engine']}: {type(error).__name__}: {error}") from error


def words(cluster):
    """The group `cluster` as overrides of Hydra's launcher."""
    if cluster["engine"] == "joblib":
        return ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={cluster['workers']}", "hydra.launcher.batch_size=1"]
    options = {"num_cpus": cluster["cpus"], "num_gpus": cluster["gpus"]}
    return [
        "hydra/launcher=ray",
        *([f"hydra.launcher.ray.init.address={cluster['address']}"] if cluster["address"] else []),
        *(f"+hydra.launcher.ray.remote.{name}={value}" for name, value in options.items()),
    ]
