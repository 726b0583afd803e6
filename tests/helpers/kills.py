"""Kill a run at random moments, start it again each time, and compare its files with those of a run left alone.

    python -m tests.helpers.kills --kills 20
    python -m tests.helpers.kills --kills 5 samples=16 batch=4 optimizer=adam

To be started in the root of the repository. What follows the options is passed to `equidiff run`. A run that finishes
in spite of its kills is compared and begun anew until all kills are used up. Exit code 0: the same bytes every time.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHORT = ("samples=8", "batch=4", "budget.steps=4", "prior.steps=1", "null_samples=4")
TIMED = ("samples.jsonl", "summary.json", "run.log")  # files that hold times


def start(arguments, directory):
    """A process of `equidiff run` that works in `directory`."""
    return subprocess.Popen(
        [sys.executable, "-m", "equidiff_cli.cli", "run", *arguments, f"hydra.run.dir={directory}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finish(arguments, directory):
    """Let the run come to its end."""
    if code := start(arguments, directory).wait():
        raise SystemExit(f"the run in {directory} failed with exit code {code}")


def kill_at(size, arguments, directory):
    """Start the run, and kill it when its log of losses has `size` bytes; a moment that no machine's speed changes."""
    process, losses = start(arguments, directory), directory / "losses.csv"
    while process.poll() is None and not (losses.exists() and losses.stat().st_size >= size):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def contents(directory):
    """What must be the same: every file's bytes, and the records without their times."""
    files = [file for file in directory.rglob("*") if file.is_file() and ".hydra" not in file.parts]
    kept = {str(file.relative_to(directory)): file.read_bytes() for file in files if file.name not in TIMED}
    records = [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]
    return kept | {"samples.jsonl": [record | {"seconds": None} for record in records]}


def compare(arguments, kills, folder, seed=0):
    """Run left alone, then with `kills` kills; returns how many of them met a run at work and which files differ."""
    generator, alone, killed = random.Random(seed), folder / "alone", folder / "killed"
    finish(arguments, alone)
    expected, met, differing = contents(alone), 0, set()
    end, losses = (alone / "losses.csv").stat().st_size, killed / "losses.csv"

    def check():
        found = contents(killed)
        differing.update(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        shutil.rmtree(killed)

    for kill in range(kills):
        kill_at(generator.uniform(losses.stat().st_size if losses.exists() else 0, end), arguments, killed)
        met += (killed / ".state").exists()
        print(f"kill {kill + 1} of {kills}, {met} met a run at work", file=sys.stderr)
        if (killed / "summary.json").exists():
            finish(arguments, killed)
            check()
    finish(arguments, killed)
    check()
    return met, sorted(differing)


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("arguments", nargs="*", default=SHORT, help=f"for equidiff run; default: {' '.join(SHORT)}")
    return parser


def main():
    options = parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        met, differing = compare(options.arguments, options.kills, Path(folder), options.seed)
    print(f"{met} of {options.kills} kills met a run at work; files that differ: {', '.join(differing) or 'none'}")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
