"""Run directories as a person names them: words of the command line -> paths.

A sweep's directory stands for its runs, which lie in numbered folders below it.
"""

from pathlib import Path

MARKS = ("summary.json", "samples.jsonl", ".state")  # one of them is in every directory that a run has opened


def is_run(path):
    """Whether a run was begun in the directory `path`."""
    return any((Path(path) / mark).exists() for mark in MARKS)


def jobs(path):
    """The numbered folders of a sweep's directory in which a job was begun, in order; failed jobs are among them."""
    folders = [folder for folder in Path(path).iterdir() if folder.name.isdecimal()]
    begun = [folder for folder in folders if (folder / ".hydra").is_dir() or is_run(folder)]
    return sorted(begun, key=lambda folder: int(folder.name))


def expand(word):
    """The directories that one word stands for: a run, or the jobs of a sweep; `ValueError` for what is neither."""
    path = Path(word)
    if not path.is_dir():
        kind = "is a file" if path.exists() else "no such directory"
        raise ValueError(f"{word}: {kind}; give the directory of a run or of a sweep")
    found = [path] if is_run(path) else jobs(path)
    if not found:
        raise ValueError(f"{word}: neither a run (no {' or '.join(MARKS[:2])} in it) nor a sweep of runs")
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
