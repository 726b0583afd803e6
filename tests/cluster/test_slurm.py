"""On a real Slurm: standard output, failures, refusals, and jobs that are killed in every way it has.

`. FOLDER/env.sh` after `bash tests/helpers/slurm/start.sh FOLDER` makes these tests run; CI has it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from helpers import command
from helpers.kills import contents

from equidiff_cli.cluster import slurm

pytestmark = pytest.mark.skipif(
    not (os.environ.get("SLURM_CONF") and shutil.which("sbatch")) and not os.environ.get("CI"),
    reason="no Slurm: start one with tests/helpers/slurm/start.sh",
)
TINY = ["prior=embedded", "budget.steps=2", "prior.steps=2", "null_samples=4", "budget.threshold=1e-12"]
LONG = ["samples=8", "batch=2", *TINY, "budget.steps=4", "objective=function", "objective._target_=mine.slow"]
SLURM = ["cluster=slurm", "cluster.cpus=1"]
OWN = """
import os, time
def slow(target, query):
    def mean(x):
        time.sleep(0.3 * os.path.exists("slow") + 2 * os.path.exists("slower"))
        return x.mean((2, 3))
    return mean
def good(target, query):
    return lambda x: x.mean((2, 3))
def bad(target, query):
    raise RuntimeError("broken on purpose")
"""


@pytest.fixture(autouse=True)
def mine(tmp_path):
    """Functions of a user's, where commands are given; with `LONG` they take long while `slow` exists."""
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "slow").touch()


def ask(*words):
    """What one of Slurm's commands says."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def start(folder, *words):
    """The command in `folder`, in a process of its own."""
    process = [sys.executable, "-m", "equidiff_cli.cli", "run", *words]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(process, cwd=folder, env=command.environment(), **pipes)


def until(happened, seconds=90):
    """Wait until `happened()` is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
    return found


def lines(file):
    return file.read_text().count("\n") if file.exists() else 0


def node_of(job):
    return until(lambda: ask("squeue", "-h", "-j", job, "-o", "%N"))


def test_a_sweep_with_a_job_that_fails_and_the_same_command_again(equidiff, tmp_path):
    words = ["objective=function", "objective._target_=mine.bad,mine.good", "samples=1", *TINY, "hydra.sweep.dir=S"]
    done = equidiff("run", *SLURM, *words)
    assert (done.returncode, done.stdout) == (2, "S/1\n"), done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("equidiff: S/")]
    assert len(said) == 1 and said[0].startswith("equidiff: S/0: ") and "broken on purpose" in said[0]
    job = job_of(tmp_path / "S")
    assert slurm.ended(job) == slurm.Ended("FAILED", 2)  # so afterok works
    assert (
        equidiff("run", "hydra.run.dir=alone", *words[:1], "objective._target_=mine.good", *words[2:-1]).returncode == 0
    )
    assert contents(tmp_path / "S" / "1") == contents(tmp_path / "alone")
    (tmp_path / "mine.py").write_text(OWN.replace("raise", "return good(target, query); raise"))
    done = equidiff("run", *SLURM, *words)
    assert (done.returncode, done.stdout) == (0, "S/0\nS/1\n"), done.stderr
    assert "1 runs submitted" in done.stderr


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("cluster.partition=nope", "cluster.partition=nope: Slurm refuses such a job: Invalid partition"),
        ("cluster.gpus=9", "cluster.gpus=9 cluster.cpus=1: Slurm refuses such a job: "),
        ("cluster.memory=100000", "cluster.cpus=1 cluster.memory=100000: Slurm refuses such a job: "),
        ("cluster.options.nodes=2", "cluster.options.nodes=2: a job is one task on one node"),
        ("samples=0", "samples=0: must be a whole number at least 1"),
    ],
)
def test_what_slurm_would_refuse_is_told_before_anything_is_written(equidiff, tmp_path, word, said):
    word = f"+{word}" if "options" in word else word
    done = equidiff("run", *SLURM, word, "prior=embedded")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith(f"equidiff: {said}"), done.stderr
    assert len(done.stderr.splitlines()) == 1 and {file.name for file in tmp_path.iterdir()} == {"mine.py", "slow"}


def test_more_jobs_than_an_array_may_have(equidiff):
    done = equidiff("run", *SLURM, "prior=embedded", "samples=5000", "shards=5000")
    assert done.returncode == 2 and done.stderr.startswith("equidiff: 5000 jobs: Slurm takes no array"), done.stderr


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What the words `LONG` give without a cluster."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "mine.py").write_text(OWN)
    done = command.in_process(["run", "hydra.run.dir=run", *LONG], folder)
    assert done.returncode == 0, done.stderr
    return contents(folder / "run")


def test_a_run_that_is_requeued_and_preempted_ends_with_the_same_bytes(equidiff, tmp_path, alone):
    """While its front is stopped by Ctrl-C; the same command collects."""
    words = [*SLURM, "hydra.sweep.dir=P", *LONG]
    front = start(tmp_path, *words)
    records = tmp_path / "P" / "0" / "samples.jsonl"
    until(lambda: lines(records) >= 2)
    job = job_of(tmp_path / "P")
    ask("scancel", "--signal=USR2", job)
    front.send_signal(signal.SIGINT)
    out, err = front.communicate(timeout=30)
    assert (front.returncode, out) == (130, "") and err.splitlines()[-1] == (
        f"equidiff: interrupted; jobs go on, scancel {job} stops them; the same command with hydra.sweep.dir=P goes on"
    )
    until(lambda: "PENDING" in ask("squeue", "-h", "-j", job, "-o", "%T"))
    before = lines(records)
    until(lambda: lines(records) > before)
    (tmp_path / "slower").touch()
    preempt(job)
    # a grace that ends as Slurm looks at time limits goes into its book as TIMEOUT, and is not queued again
    until(lambda: {"PREEMPTED", "TIMEOUT"} & states(job))
    assert not (tmp_path / "P" / "0" / "summary.json").exists()
    hurry(tmp_path)
    done = equidiff("run", *words)
    assert (done.returncode, done.stdout) == (0, "P/0\n"), done.stderr
    assert contents(tmp_path / "P" / "0") == alone


def test_a_job_that_is_taken_away_for_good_is_submitted_again(tmp_path, alone):
    """By a partition that cancels what is preempted."""
    front = start(tmp_path, *SLURM, "cluster.partition=fragile", "hydra.sweep.dir=F", *LONG)
    until(lambda: lines(tmp_path / "F" / "0" / "samples.jsonl") >= 2)
    (tmp_path / "slower").touch()
    preempt(job_of(tmp_path / "F"))
    until(lambda: {"PREEMPTED", "TIMEOUT"} & states(job_of(tmp_path / "F")))
    hurry(tmp_path)
    out, err = front.communicate(timeout=120)
    assert (front.returncode, out) == (0, "F/0\n"), err
    assert "1 runs lost their job and are submitted again" in err
    assert contents(tmp_path / "F" / "0") == alone


def test_a_job_that_somebody_cancels(tmp_path):
    """Once it waits, and so leaves nothing; the front says who did it, and does not submit it again."""
    front = start(tmp_path, *SLURM, "+cluster.options.begin=now+1hour", "hydra.sweep.dir=C", *LONG)
    ask("scancel", until(lambda: (tmp_path / "C" / "jobs.json").exists() and job_of(tmp_path / "C")))
    out, err = front.communicate(timeout=60)
    assert (front.returncode, out) == (1, ""), err
    assert "equidiff: C/0: CANCELLED (Slurm job " in err and "hydra.sweep.dir=C goes on" in err


def test_shards_on_two_nodes_of_which_one_dies(equidiff, tmp_path, alone):
    """Submitted without waiting; the same command finds the jobs, and collects when the node's ran elsewhere."""
    words = [*SLURM, "shards=2", "hydra.sweep.dir=N", *LONG]
    done = equidiff("run", *words, "cluster.wait=false")
    assert done.returncode == 0 and done.stdout == "" and "scancel" in done.stderr, done.stderr
    ids = json.loads((tmp_path / "N" / "jobs.json").read_text())
    assert sorted(ids) == ["0/shards/000", "0/shards/001"]
    until(lambda: lines(tmp_path / "N" / "0" / "shards" / "000" / "samples.jsonl") >= 2)
    node = node_of(ids["0/shards/000"])
    try:
        kill_node(node)
        ask("scontrol", "update", f"nodename={node}", "state=down", "reason=dead")  # what Slurm notices in a minute
        hurry(tmp_path)
        done = equidiff("run", *words)
    finally:
        revive_node(node)
    assert (done.returncode, done.stdout) == (0, "N/0\n"), done.stderr
    assert "found in the queue" in done.stderr
    assert contents(tmp_path / "N" / "0") == alone
    assert not (tmp_path / "N" / "0" / "shards").exists()


def job_of(sweep):
    return json.loads((sweep / "jobs.json").read_text())["0"]


def hurry(folder):
    for name in ("slow", "slower"):
        (folder / name).unlink(missing_ok=True)


def states(job):
    """What a job has been by Slurm's book, each time that it was started."""
    return set(ask("sacct", "-n", "-X", "-D", "-j", job, "-o", "State").split())


def preempt(job):
    """Have a job of another partition take its node."""
    ask("sbatch", "-p", "urgent", "-w", node_of(job), "-o", "/dev/null", "--wrap", "sleep 1")


def kill_node(node):
    """Everything of a node dies, as if its power failed: who would tell that the jobs died goes first."""
    tasks, parents = [], set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if f"SLURMD_NODENAME={node}\0".encode() in (process / "environ").read_bytes():
                tasks.append(int(process.name))
                parents.add(int((process / "stat").read_text().rpartition(")")[2].split()[1]))
    steps = [pid for pid in parents if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"slurmstepd")]
    for pid in (int((folder() / f"slurmd.{node}.pid").read_text()), *steps, *tasks):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def revive_node(node):
    subprocess.Popen(["slurmd", "-N", node, "-f", os.environ["SLURM_CONF"]], stdout=subprocess.DEVNULL).wait()
    until(lambda: node in ask("sinfo", "-h", "-N", "-t", "idle,mixed,allocated", "-o", "%N").split())


def folder():
    return Path(os.environ["SLURM_CONF"]).parent
