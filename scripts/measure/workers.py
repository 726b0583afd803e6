"""What it costs to share one run out: members an hour of 1, 2 and 4 workers of one thread each, and what a job costs.

    python -m scripts.measure.workers
    python -m scripts.measure.workers --samples 64 --slurm

Every row draws the same samples in as many shards as it has workers, each row in turn, `--repeat` times; the shortest
time counts. Beside them stands one process without a cluster. What a job costs is the time of a run of one sample that
may take one step, less that of the same without a cluster. `--slurm`: where it is there, through it as well.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

TINY = ("samples=1", "budget.steps=1", "null_samples=2")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def seconds(words):
    """Of one command in a process of its own, from its start until it names its run."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "equidiff_cli.cli", "run", "prior=embedded", *words],
            cwd=folder,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return time.perf_counter() - began


def engines(slurm):
    """(name, words for a number of workers) of each row; 0 workers: no cluster."""
    yield "no cluster", 1, []
    for workers in (1, 2, 4):
        yield "joblib", workers, ["cluster=joblib", f"cluster.workers={workers}", f"shards={workers}"]
    if slurm:
        for workers in (1, 2):
            yield "slurm", workers, ["cluster=slurm", "cluster.cpus=1", f"shards={workers}"]


def parser():
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--samples", type=int, default=64)
    made.add_argument("--repeat", type=int, default=2)
    made.add_argument("--slurm", action="store_true")
    return made


def main():
    asked = parser().parse_args()
    rows, long = list(engines(asked.slurm)), [f"samples={asked.samples}", "batch=8", "pad=true"]
    taken = {}
    for _ in range(asked.repeat):
        for name, workers, words in rows:
            for kind, more in (("run", long), ("job", TINY)):
                if kind == "job" and workers > 1:
                    continue
                taken.setdefault((name, workers, kind), []).append(seconds([*more, *words]))
    best = {row: min(times) for row, times in taken.items()}
    alone = best["no cluster", 1, "run"], best["no cluster", 1, "job"]
    print(f"| workers | seconds for {asked.samples} members | members an hour | to one process | what a job costs |")
    print("|---|---|---|---|---|")
    for name, workers, _ in rows:
        run, job = best[name, workers, "run"], best.get((name, workers, "job"))
        cost = f"{job - alone[1]:.1f} s" if job and name != "no cluster" else ""
        print(f"| {name}, {workers} | {run:.0f} | {3600 * asked.samples / run:.0f} | {alone[0] / run:.2f} | {cost} |")


if __name__ == "__main__":
    main()
