"""What the files of a run directory are called, and which directories a person's words stand for.

A sweep's directory stands for its runs, which lie in numbered folders below it, or wherever `hydra.sweep.subdir` put
them.
"""

import re
from pathlib import Path

FORMAT = 1  # of what a run leaves; another one cannot be measured by this version
SUMMARY = "summary.json"
RECORDS = "samples.jsonl"
LOSSES = "losses.csv"
LATENTS = "latents.safetensors"
GRID = "grid.png"
REGION = "region.png"  # where alone pictures may differ, or whose evidence is held; white in it
QUERY = "query"  # and the suffix of its medium
SAMPLES = "samples"  # the folder of the pictures
UNGUIDED = "unguided"  # the folder of what the same starting noises give before anything is optimised
CHAINS = "chains"  # the folder of the states that Markov chains kept, a folder a chain
KEPT = "chains.jsonl"  # and a line on each of them
STATE = ".state"  # the folder of what an unfinished run goes on from
ASKED = ".hydra"  # the folder of what was asked: config.yaml, hydra.yaml, overrides.yaml
LOG = "run.log"
EVALUATION = "evaluation.json"
EXPLANATION = "explanation.json"
EXPLANATIONS = "explanations"  # the folder of its maps
MAPS = "maps.safetensors"  # in it: every map of every picture; beside it overlays, one a picture and method
EVALUATIONS = "evaluation.csv"  # in the directory of a sweep
PICTURES = "pictures.csv"  # in the directory above the runs of many queries
EVALUATIONS_BEGIN = "run,overrides,complete,"  # what every such table begins with
AUDIT = "audit.json"
AUDITED = "audit"  # the folder of the unguided samples that an audit shows
AUDITS = "audit.csv"  # in the directory of a sweep, and the page of an audit beside it
AUDIT_PAGE = "audit.html"
AUDIT_KEYS = "run,target,objective,query,"  # what every such table begins with
REPORT = "report.html"
SHARDS = "shards"  # the folder of the parts of an unfinished run that several jobs share, a run directory each
SETTLED = "settled.json"  # in it: what the first of them settled for all
JOBS = "jobs.json"  # in the directory of a sweep: which jobs of a queue were given its runs
JOBS_LOGS = ".jobs"  # and the folder of what these say
PIPED = "query-piped"  # and the query that came from standard input
SWEEP = "multirun.yaml"  # Hydra writes it into the directory of a sweep
MARKS = (SUMMARY, RECORDS, STATE)  # one of them is in every directory that a run has opened
BEFORE_A_SAMPLE = {
    ASKED,
    LOG,
    f"{QUERY}.png",
    f"{QUERY}.txt",
    REGION,
    SAMPLES,
    STATE,
}  # all that may be there before one is


def is_run(path):
    """Whether a run was begun in the directory `path`."""
    return any((Path(path) / mark).exists() for mark in MARKS)


def is_finished(path):
    """Whether a run came to its end in the directory `path`."""
    return (Path(path) / SUMMARY).exists()


def jobs(path):
    """The folders of a sweep's directory in which a job was begun, in order; failed jobs are among them.

    In order is 2, 10, and `lr=2`, `lr=10`: numbers in names count as numbers. Without `multirun.yaml`, which Hydra
    leaves in a sweep, or the table above the runs of many queries, only numbered folders are looked at: else every
    folder above runs would be one.
    """
    if any((Path(path) / mark).exists() for mark in (SWEEP, PICTURES)):
        begun = _begun(Path(path))
    else:
        begun = [folder for folder in Path(path).iterdir() if folder.name.isdecimal() and _is_begun(folder)]
    return sorted(begun, key=lambda folder: _natural(folder.relative_to(path).as_posix()))


def _is_begun(folder):
    return (folder / ASKED).is_dir() or is_run(folder)


def _begun(folder):
    """The folders below `folder` in which a job was begun, at any depth, but none inside another."""
    for below in folder.iterdir():
        if below.is_dir() and not below.is_symlink():
            yield from [below] if _is_begun(below) else _begun(below)


def _natural(text):
    """What sorts texts with numbers in them by the numbers."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)  # a text, a number, a text ...
    return [(float(part), part) if i % 2 else part for i, part in enumerate(parts)]


def expand(word):
    """The directories that one word stands for: a run, or the jobs of a sweep; `ValueError` for what is neither."""
    path = Path(word)
    if not path.is_dir():
        kind = "is a file" if path.exists() else "no such directory"
        raise ValueError(f"{word}: {kind}; give the directory of a run or of a sweep")
    found = [path] if is_run(path) else jobs(path)
    if not found:
        below = next((folder for depth in ("*", "*/*") for folder in sorted(path.glob(depth)) if is_run(folder)), None)
        hint = f"; there are runs in it, such as {below}" if below else ""
        raise ValueError(f"{word}: neither a run (no {' or '.join(MARKS[:2])} in it) nor a sweep of runs{hint}")
    return found


def find(words):
    """The directories that `words` stand for, each once, in order; `ValueError` for the first that is wrong."""
    if not words:
        raise ValueError("no run given; name run directories, such as outputs/2026-01-31/12-00-00-000000")
    found = {}
    for word in words:
        for folder in expand(word):
            found.setdefault(folder.resolve(), folder)
    return list(found.values())
