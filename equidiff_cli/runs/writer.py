"""The run directory: what a run leaves behind, file by file, and what lets it go on after a stop.

Files appear whole or not at all: they are written beside and renamed. Lines are appended with one write each. The
folder `.state` exists only while a run is unfinished; what it holds suffices to continue as if nothing had happened.
"""

import csv
import errno
import fcntl
import io
import json
import os
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from equidiff_cli.files import append, finite, flush, halves, whole, write_json
from equidiff_cli.pictures.convert import to_image
from equidiff_cli.runs import names
from equidiff_cli.runs.parse import records_of

LOCKLESS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # of a file system that has no flock
MEMORY = ("batch", "checkpoint")  # may be others when a run goes on: results do not depend on them, up to rounding
LOSS_COLUMNS = ("sample", "step", "loss", "loss_unfiltered", "loss_filtered", "grad_norm", "latent_norm")


class RunDir:
    """Writer of one run directory; who looks at what it wrote uses `runs/reader.py`.

    Args:
        path: the directory; made if need be.
        medium: how samples are kept: `Pictures` or `Points`, or what has the same methods.
    """

    def __init__(self, path, medium):
        self.path, self.medium = Path(path), medium
        self.samples, self.state = self.path / names.SAMPLES, self.path / names.STATE
        self.unguided = self.path / names.UNGUIDED
        self.lines, self.losses = self.path / names.RECORDS, self.path / names.LOSSES
        self.chains, self.kept = self.path / names.CHAINS, self.path / names.KEPT
        self.logs = (self.lines, self.losses, self.kept)

    @classmethod
    def claim(cls, path, medium, identity, lock=True):
        """The directory `path`, opened for this process and for what results depend on; without `lock` nothing keeps
        another process out.
        """
        run = cls(path, medium)
        run.open(identity, lock)
        return run

    @property
    def finished(self):
        """Whether the run in this directory came to its end."""
        return names.is_finished(self.path)

    def open(self, configuration, lock=True):
        """Claim the directory for this process and this configuration (a flat dict of what results depend on).

        Raises `ValueError` if another process works in it, or it was begun with another configuration.
        """
        if self.finished:
            shutil.rmtree(self.state, ignore_errors=True)  # the process may have been killed just before it did so
            return self._same(configuration, json.loads((self.path / names.SUMMARY).read_text())["configuration"])
        for folder in (self.samples, self.state):
            folder.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.state / "lock", "w")  # held until the process ends
        try:
            if lock:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            known = self.state / "configuration.json"
            if known.exists():
                self._same(configuration, json.loads(known.read_text()))
        except BlockingIOError:
            self.lock.close()
            raise ValueError(f"hydra.run.dir={self.path}: another process is working in this directory") from None
        except OSError as error:
            self.lock.close()
            if error.errno not in LOCKLESS:
                raise
            self._leave()
            raise ValueError(
                f"lock=true: this file system keeps no locks ({self.path}), so two processes could spoil each other's"
                " files in one directory; lock=false goes on, see to it that no two do"
            ) from None
        except ValueError:
            self.lock.close()
            raise
        with whole(known) as beside:
            beside.write_text(json.dumps(configuration))

    def _leave(self):
        """Remove what was made to begin a run, where nothing else is."""
        (self.state / "lock").unlink()
        for folder in (self.state, self.samples, self.path):
            if not any(folder.iterdir()):
                folder.rmdir()

    def _same(self, configuration, before):
        for key in sorted((before.keys() | configuration.keys()).difference(MEMORY)):
            if before.get(key) == configuration.get(key):
                continue
            if " (" in key:  # what a key stands for: query (SHA-256 of its pixels)
                raise ValueError(
                    f"{key}: {configuration.get(key)}, but the run in {self.path} was begun with {before.get(key)};"
                    " use another hydra.run.dir"
                )
            raise ValueError(
                f"{key}={configuration.get(key)}: the run in {self.path} was begun with {before.get(key)};"
                " use that value or another hydra.run.dir"
            )

    @property
    def query(self):
        """The file of the query as the target sees it."""
        return self.path / f"{names.QUERY}{self.medium.suffix}"

    @property
    def grid(self):
        """The file of the query and the samples side by side."""
        return self.path / names.GRID

    def save_query(self, x):
        """Write the query x (C, H, W)."""
        with whole(self.query) as beside:
            self.medium.write(x, beside)

    def save_region(self, mask):
        """Write a mask (1, H, W), 1 in the region."""
        with whole(self.path / names.REGION) as beside:
            to_image(mask.expand(3, -1, -1)).save(beside, format="PNG")

    def save_grid(self, image):
        """Write the query and the samples side by side, a PIL picture."""
        with whole(self.grid) as beside:
            image.save(beside)

    def save_steps(self, rows):
        """Append rows of `LOSS_COLUMNS` to the loss log; numbers that do not exist (None) stay empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self.losses.exists():
            writer.writerow(LOSS_COLUMNS)
        writer.writerows(rows)
        append(self.losses, text.getvalue())

    def save_picture(self, index, picture, z_start=None, z=None):
        """Write one picture (3, H, W) and its latents (C, H, W), if it has some; return it as the file holds it, and
        the file name."""
        file = self.samples / f"{index:03d}{self.medium.suffix}"
        if z is not None:
            with whole(self.state / f"{index}.safetensors") as beside:
                beside.write_bytes(save({"z_start": z_start.contiguous(), "z": z.contiguous()}))
        with whole(file) as beside:
            self.medium.write(picture, beside)
        return self.medium.read(file), file.relative_to(self.path).as_posix()

    def save_unguided(self, index, picture):
        """Write what the starting noise of one sample gives before anything is optimised, (3, H, W)."""
        self.unguided.mkdir(exist_ok=True)
        with whole(self.unguided / f"{index:03d}{self.medium.suffix}") as beside:
            self.medium.write(picture, beside)

    def save_kept(self, index, number, picture, facts):
        """Write a state (3, H, W) that a chain kept, and a line with `facts` about it."""
        folder = self.chains / f"{index:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{number:04d}{self.medium.suffix}"
        with whole(file) as beside:
            self.medium.write(picture, beside)
        line = {"index": index, "number": number} | facts | {"file": file.relative_to(self.path).as_posix()}
        append(self.kept, json.dumps(finite(line)) + "\n")

    def save_record(self, record):
        """Append one line to `samples.jsonl`; not-a-number and infinity become null."""
        append(self.lines, json.dumps(finite(record)) + "\n")

    def records(self):
        """The records of all finished samples, in the order of their index."""
        return records_of(self.lines)

    def save_state(self, tensors, facts):
        """Keep what the run needs to continue: tensors, and plain facts; log lengths are added."""
        logs = [file for file in self.logs if file.exists()]
        for file in logs:
            flush(file)
        lengths = {file.name: 0 for file in self.logs} | {file.name: file.stat().st_size for file in logs}
        with whole(self.state / "state.safetensors") as beside:
            beside.write_bytes(save(tensors, metadata={"facts": json.dumps(facts | {"lengths": lengths})}))

    def load_state(self):
        """(tensors, facts) of the last saved state, or None; what was written after it or halfway is taken back."""
        places = [(self.path, stem) for stem in (names.QUERY, "region", "grid", "latents", "summary")]
        chains = [(folder, "*") for folder in self.chains.glob("*")]
        for folder, stem in (
            *places,
            (self.samples, "*"),
            (self.unguided, "*"),
            (self.path / names.ASKED, "*"),
            *chains,
        ):
            for file in halves(folder, stem):
                file.unlink(missing_ok=True)
        file, saved = self.state / "state.safetensors", self.facts
        facts = saved or {"lengths": {}}
        for log in self.logs:
            if log.exists():
                os.truncate(log, length := facts["lengths"].get(log.name, 0))
                if not length:
                    log.unlink()
        return (load_file(file), facts) if saved else None

    @property
    def facts(self):
        """The plain facts of the last saved state, or None."""
        file = self.state / "state.safetensors"
        if not file.exists():
            return None
        with safe_open(file, "pt") as opened:
            return json.loads(opened.metadata()["facts"])

    def close(self, summary):
        """Gather the latents, write the summary, and remove the state: the run is finished."""
        files = [self.state / f"{record['index']}.safetensors" for record in self.records()]
        if any(file.exists() for file in files):  # else the method starts from no noise
            latents = [load_file(file) for file in files]
            rows = {name: torch.stack([one[name] for one in latents]) for name in ("z_start", "z")}
            with whole(self.path / names.LATENTS) as beside:
                beside.write_bytes(save(rows))
        write_json(self.path / names.SUMMARY, finite(summary))
        shutil.rmtree(self.state)
