"""The directory that Hydra makes for a run: the record of the request in it, and its removal where that was wrong."""

import logging
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from equidiff_cli.errors import WrongRequest
from equidiff_cli.files import whole
from equidiff_cli.runs.names import ASKED, BEFORE_A_SAMPLE, STATE, is_finished, is_run


class Record:
    """The output directory of the request that Hydra is about to run.

    Hydra would write `.hydra` (`hydra.output_subdir`) before the request is checked, and so over that of an earlier
    run. It is written here instead, once it is known that the directory is ours.
    """

    def __init__(self, path, config):
        self.path, self.config, self.accepted = Path(path), config, False
        self.empty = not any(self.path.iterdir())

    def accept(self):
        """The request is right: write it down, unless a run came to its end here, which has its record."""
        self.accepted = True
        if not is_finished(self.path):
            self.write()

    def write(self):
        """Write the composed configuration, Hydra's own and what was given."""
        folder, hydra = self.path / ASKED, HydraConfig.instance().cfg
        folder.mkdir(exist_ok=True)
        for name, content in {"config": self.config, "hydra": hydra, "overrides": hydra.hydra.overrides.task}.items():
            with whole(folder / f"{name}.yaml") as beside:
                beside.write_text(OmegaConf.to_yaml(content), encoding="utf-8")

    def tidy(self, error, sweep):
        """After an `error`: a request that was wrong leaves no directory behind, but in a sweep its record.

        An earlier run's directory, or another process's, stays as it is.
        """
        wrong = isinstance(error, WrongRequest)
        if self.accepted:
            if wrong:
                self.release() if sweep or not self.empty else self.clear()
        elif not is_run(self.path):
            stopped = not isinstance(error, Exception)
            self.clear() if stopped or (wrong and not sweep) else self.write()

    def clear(self):
        """Remove the directory, and folders above it that are empty then, if all in it is of this process."""
        logging.shutdown()
        with suppress(OSError):  # a link, or another process at the same: what is wrong with the request matters more
            if not self.empty or not {path.name for path in self.path.iterdir()} <= BEFORE_A_SAMPLE:
                return
            for path in self.path.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for folder in (self.path, *self.path.parents[:2]):
                if folder != Path.cwd():
                    folder.rmdir()  # fails where it is not empty

    def release(self):
        """Let a corrected request have the directory, if nothing of the run was saved yet."""
        if not (self.path / STATE / "state.safetensors").exists():
            shutil.rmtree(self.path / STATE, ignore_errors=True)


@contextmanager
def recording(job):
    """The `Record` of a `Job`; what goes wrong inside is passed on once the directory is tidied."""
    record = Record(job.directory, job.config)
    try:
        yield record
    except BaseException as error:
        with suppress(OSError):
            record.tidy(error, job.sweep)
        raise
