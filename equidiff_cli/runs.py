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
    return sorted((folder for folder in folders if (folder / ".hydra").is_dir() or is_run(folder)), key=_number)


def _number(folder):
    return int(folder.name)


def find(words):
    """The run directories that `words` name, each once, in order; `ValueError` for what is neither run nor sweep."""
    if not words:
        raise ValueError("no run given; name directories that equidiff run printed, or that of a sweep")
    found = {}
    for word in words:
        path = Path(word)
        if not path.is_dir():
            kind = "is a file" if path.exists() else "no such directory"
            raise ValueError(f"{word}: {kind}; the directory of a run or of a sweep is needed")
        inside = [path] if is_run(path) else jobs(path)
        if not inside:
            raise ValueError(f"{word}: neither a run (no {' or '.join(MARKS[:2])} in it) nor a sweep of runs")
        for folder in inside:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())
