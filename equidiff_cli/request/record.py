"""The directory that Hydra makes for a run: the record of the request in it, and its removal where that was wrong."""

import logging
import shutil
from contextlib import suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from equidiff_cli.files import whole
from equidiff_cli.runs.names import is_run

OURS = {".hydra", "run.log", "query.png", "query.txt", "samples", ".state"}  # what may be there before a sample is


class Place:
    """The output directory of the request that Hydra is about to run.

    Hydra would write `.hydra` (`hydra.output_subdir`) before the request is checked, and so over that of an earlier
    run. It is written here instead, once it is known that the directory is ours.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.empty = not any(self.path.iterdir())

    @property
    def finished(self):
        """Whether a run came to its end here."""
        return (self.path / "summary.json").exists()

    @property
    def begun(self):
        """Whether a run was begun here, perhaps by another process."""
        return is_run(self.path)

    def record(self, config):
        """Write the composed configuration, Hydra's own and what was given."""
        folder, hydra = self.path / ".hydra", HydraConfig.instance().cfg
        folder.mkdir(exist_ok=True)
        for name, content in {"config": config, "hydra": hydra, "overrides": hydra.hydra.overrides.task}.items():
            with whole(folder / f"{name}.yaml") as beside:
                beside.write_text(OmegaConf.to_yaml(content), encoding="utf-8")

    def clear(self):
        """Remove the directory, and folders above it that are empty then, if all in it is of this process."""
        logging.shutdown()
        with suppress(OSError):  # a link, or another process at the same: what is wrong with the request matters more
            if not self.empty or not {path.name for path in self.path.iterdir()} <= OURS:
                return
            for path in self.path.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for folder in (self.path, *self.path.parents[:2]):
                if folder != Path.cwd():
                    folder.rmdir()  # fails where it is not empty

    def release(self):
        """Let a corrected request have the directory, if nothing of the run was saved yet."""
        if not (self.path / ".state" / "state.safetensors").exists():
            shutil.rmtree(self.path / ".state", ignore_errors=True)
