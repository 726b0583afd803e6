"""Workers that die: of joblib, and of Ray, which is given a network of its own since it listens on every interface."""

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec

import pytest
from helpers import command
from helpers.kills import contents

MINE = """
import os
def deadly(target, query):
    def mean(x):
        if x.shape[0] > 1 and os.path.exists("poison"):
            os.remove("poison")
            os.kill(os.getpid(), 9)
        return x.mean((2, 3))
    return mean
"""
WORDS = ["prior=embedded", "samples=4", "batch=2", "budget.steps=2", "prior.steps=2", "null_samples=4", "shards=2"]
WORDS += ["objective=function", "objective._target_=mine.deadly", "hydra.sweep.dir=S"]


@pytest.fixture
def poisoned(equidiff, tmp_path):
    """A folder in which the first job that comes to a batch of samples is killed."""
    (tmp_path / "mine.py").write_text(MINE)
    yield tmp_path
    assert not (tmp_path / "poison").exists()
    alone = equidiff(
        "run", *[word for word in WORDS if not word.startswith(("shards", "hydra"))], "hydra.run.dir=alone"
    )
    assert alone.returncode == 0, alone.stderr
    assert contents(tmp_path / "S" / "0") == contents(tmp_path / "alone")


def test_a_worker_of_joblib_is_killed_and_the_same_command_goes_on(equidiff, poisoned):
    (poisoned / "poison").touch()
    done = equidiff("run", "cluster=joblib", *WORDS)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("equidiff: S/0/shards/00")]
    assert said and all("TerminatedWorkerError" in line and line.endswith("hydra.sweep.dir=S goes on") for line in said)
    done = equidiff("run", "cluster=joblib", *WORDS)
    assert (done.returncode, done.stdout) == (0, "S/0\n"), done.stderr


@pytest.mark.skipif(
    not (find_spec("ray") and shutil.which("unshare") and os.geteuid() == 0) and not os.environ.get("CI"),
    reason="no Ray, or no right to give it a network of its own",
)
def test_a_worker_of_ray_is_killed_and_started_again(poisoned):
    (poisoned / "poison").touch()
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # as the names of sockets have to be
        done = subprocess.run(
            [
                "unshare",
                "-n",
                "sh",
                "-c",
                'ip link set lo up && exec "$@"',
                "sh",
                *command.line("run", "cluster=ray", *WORDS),
            ],
            cwd=poisoned,
            env=command.environment() | {"HOME": short, "RAY_TMPDIR": short},
            capture_output=True,
            text=True,
            timeout=200,
        )
    assert (done.returncode, done.stdout) == (0, "S/0\n"), done.stderr
    assert len(list((poisoned / "S" / ".jobs").glob("*.log"))) == 2
