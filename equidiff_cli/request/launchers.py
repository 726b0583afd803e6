"""Engines that Hydra has a launcher for: joblib and Ray."""

import logging
from contextlib import contextmanager

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode

from equidiff_cli.errors import Failed
from equidiff_cli.request.job import Apart, Job
from equidiff_cli.request.schema import composing

SILENT = {"log_to_driver": False, "logging_level": "error", "include_dashboard": False}  # of what Ray says and starts


def launch(cluster, sweep, folder, jobs):
    """Do the `jobs`, lists of `Task`s; returns the exit code of each, raises `Failed` where the engine broke down.

    Args:
        folder: where each job keeps what it says, but for a single one after another, which says it here.
    """
    with composing(), quiet():
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("run", [*words(cluster), f"hydra.sweep.dir={sweep}"], RunMode.MULTIRUN)
        work = [Job(one) if here(cluster) else Apart(one, log_of(folder, k)) for k, one in enumerate(jobs)]
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=loader, callbacks=Callbacks()),
            task_function=lambda config: stopped_by_signals(work[HydraConfig.get().job.num]()),
            config=config,
        )
        places = [[f"hydra.sweep.subdir={tasks[0].directory.relative_to(sweep)}"] for tasks in jobs]
        try:
            return [done.return_value for done in launcher.launch(places, initial_job_idx=0)]
        except Exception as error:  # of the engine: of any class, such as a worker that was killed
            said = next((line for line in str(error).splitlines() if line.strip()), "")
            raise Failed(f"cluster={cluster['engine']}: {type(error).__name__}: {said.strip()}") from error
        finally:
            if cluster["engine"] == "joblib" and not here(cluster):
                dismiss()


def dismiss():
    """End the processes that joblib keeps for more to do, and with them what they hold in memory."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)


def stopped_by_signals(code):
    """The exit code of a job, but where a signal stopped it: then of the others none is begun."""
    if code > 128:
        raise KeyboardInterrupt
    return code


def here(cluster):
    """Whether jobs are done in this process, since only one is to be done at a time."""
    return cluster["engine"] == "joblib" and cluster["workers"] == 1


def log_of(folder, number):
    """Where the job of a number keeps what it says."""
    return folder / f"{number:04d}.log"


@contextmanager
def quiet():
    """Launchers say what they launch by their own names: we say it in ours."""
    log = logging.getLogger("hydra_plugins")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)


def words(cluster):
    """The group `cluster` as overrides of Hydra's launcher."""
    if cluster["engine"] == "joblib":
        return ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={cluster['workers']}", "hydra.launcher.batch_size=1"]
    options = {"num_cpus": cluster["cpus"], "num_gpus": cluster["gpus"]}
    return [
        "hydra/launcher=ray",
        *(f"+hydra.launcher.ray.init.{name}={value}" for name, value in SILENT.items()),
        *([f"hydra.launcher.ray.init.address={cluster['address']}"] if cluster["address"] else []),
        *(f"+hydra.launcher.ray.remote.{name}={value}" for name, value in options.items()),
    ]
