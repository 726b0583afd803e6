"""Slurm: jobs are submitted by submitit; what becomes of them is asked of Slurm's own commands."""

import math
import os
import re
import shutil
import subprocess
from contextlib import redirect_stdout
from dataclasses import dataclass

from equidiff_cli.errors import Failed, WrongRequest
from equidiff_cli.request.job import Queued

RETRIES = 10_000  # time limits that a job may reach, one after another
NOTICE = 120  # seconds before a time limit at which a job is told, at most: half of the limit
DIRECT = ("partition", "account", "qos", "setup")  # keys that submitit knows by the same name
KEYS = {  # a word of Slurm's refusal: the key that it is about
    "partition": "partition",
    "time limit": "hours",
    "account": "account",
    "qos": "qos",
    "gres": "gpus",
    "gpu": "gpus",
    "memory": "memory",
    "cpu": "cpus",
}
GONE = "Invalid job id specified"
LIMIT = 60  # seconds that one of Slurm's commands may take


@dataclass(frozen=True)
class Ended:
    """How a job ended, by Slurm's book: `state` such as FAILED, None if unknown; exit `code`, None if unknown."""

    state: str | None = None
    code: int | None = None


def check(cluster, jobs):
    """`WrongRequest` for what Slurm would refuse of `jobs` jobs; nothing is submitted or written."""
    for command in ("sbatch", "srun"):
        if not shutil.which(command):
            raise WrongRequest(f"cluster=slurm: there is no {command} on this machine; log in where jobs are submitted")
    text = executor(cluster, "unused")._make_submission_file_text("true", "0")
    array = [f"--array=0-{jobs - 1}"] if jobs > 1 else []
    done = call("sbatch", "--test-only", *array, text=text)
    if not done.returncode:
        return
    said = [re.sub(r"^(sbatch: )?(error: )?(allocation failure: )?", "", line) for line in done.stderr.splitlines()]
    reason = next((line for line in reversed(said) if line.strip()), f"exit code {done.returncode}")
    if "array" in reason.lower():
        hint = "fewer runs or shards, or several runs a job by cluster.chunk=..."
        raise WrongRequest(f"{jobs} jobs: Slurm takes no array of so many ({reason}); ask for {hint}")
    key = next((key for word, key in KEYS.items() if word in reason.lower()), None)
    keys = [key] if key else [key for key in ("partition", "gpus", "cpus", "memory") if cluster[key]]
    what = " ".join(f"cluster.{key}={cluster[key]}" for key in keys)
    raise WrongRequest(f"{what}: Slurm refuses such a job: {reason}")


def submit(cluster, folder, jobs):
    """Submit `jobs`, lists of tasks, as one array; the id of each, such as 17_0.

    Args:
        folder: where jobs are kept for submitit, with what they say.
    """
    import submitit

    try:
        with redirect_stdout(None):
            made = executor(cluster, folder).map_array(Queued.__call__, [Queued(tasks) for tasks in jobs])
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError, OSError) as error:
        raise Failed(f"cluster=slurm: could not be submitted: {error}") from error
    return [job.job_id for job in made]


def executor(cluster, folder):
    """submitit's executor for the group `cluster`."""
    from submitit.slurm.slurm import SlurmExecutor

    minutes = max(math.ceil(cluster["hours"] * 60), 1)
    made = SlurmExecutor(folder=folder, max_num_timeout=RETRIES)
    memory = {"mem": f"{math.ceil(cluster['memory'] * 1024)}MB"} if cluster["memory"] else {}
    made.update_parameters(
        job_name="equidiff",
        time=minutes,
        nodes=1,
        ntasks_per_node=1,
        cpus_per_task=cluster["cpus"],
        array_parallelism=cluster["parallel"],
        signal_delay_s=min(NOTICE, 30 * minutes),
        additional_parameters={"requeue": True} | {key.replace("_", "-"): v for key, v in cluster["options"].items()},
        **({"gpus_per_node": cluster["gpus"]} if cluster["gpus"] else {}),
        **memory,
        **{key: cluster[key] for key in DIRECT if cluster[key]},
    )
    return made


def queue(ids):
    """Jobs that have not ended: id -> "running" or why it waits; None where Slurm does not answer."""
    if not ids:
        return {}
    arrays = ",".join(dict.fromkeys(one.partition("_")[0] for one in ids))
    done = call("squeue", "--noheader", "--array", f"--jobs={arrays}", "--format=%i|%T|%r")
    if done.returncode:
        return {} if GONE in done.stderr else None
    rows = [line.strip().split("|") for line in done.stdout.splitlines() if line.count("|") == 2]
    going = ("RUNNING", "COMPLETING", "SUSPENDED")
    found = {one: "running" if state in going else reason for one, state, reason in rows if one in ids}
    return {one: "starting" if what == "None" else what for one, what in found.items()}


def ended(one):
    """How job `one`, which has left the queue, ended, by what the controller or the accounting knows."""
    done = call("scontrol", "--oneliner", "show", "job", one)
    found = re.search(r"JobState=(\S+).*?\bExitCode=(\d+):(\d+)", done.stdout)
    if not found:
        done = call("sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={one}", "--format=State,ExitCode")
        found = re.search(r"^(\w+)[^|]*\|(\d+):(\d+)", done.stdout)
    return Ended(found[1], int(found[2]) or (128 + int(found[3]) if found[3] != "0" else 0)) if found else Ended()


def call(*words, text=None):
    """One of Slurm's commands, done; one that does not answer in time counts as failed."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("SBATCH_", "SQUEUE_", "SACCT_"))}
    environment = os.environ if words[0] == "sbatch" else quiet
    try:
        return subprocess.run(words, input=text, capture_output=True, text=True, env=environment, timeout=LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))
