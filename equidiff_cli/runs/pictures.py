"""The table above the runs of many queries: which picture's run is where, and what came of it."""

import csv
from pathlib import Path

from equidiff_cli.files import whole
from equidiff_cli.runs import names
from equidiff_cli.runs.parse import records_of
from equidiff_cli.runs.reader import STATUSES

COLUMNS = ("query", "run", "samples", *STATUSES, "on_file", "finished")


def write(parent, runs):
    """Write the table into the directory `parent`, made if need be.

    Args:
        runs: (picture, name of its directory) of each.
    """
    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    with whole(parent / names.PICTURES) as beside, open(beside, "w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row(parent, *run) for run in runs)


def forget(parent):
    """Remove the table, and folders above it that are empty then, where no run was begun below."""
    parent = Path(parent).absolute()
    if {path.name for path in parent.iterdir()} <= {names.PICTURES}:
        (parent / names.PICTURES).unlink()
        for folder in (parent, *parent.parents[:2]):
            if folder == Path.cwd() or any(folder.iterdir()):
                break
            folder.rmdir()


def row(parent, picture, name):
    """What came of one run; of a sweep, of all its runs together."""
    folders = [parent / name] if names.is_run(parent / name) else _jobs(parent / name)
    records = [record for folder in folders for record in records_of(folder / names.RECORDS)]
    statuses = [record["status"] for record in records]
    finished = bool(folders) and all(map(names.is_finished, folders))
    on_file = sum(record.get("on_file") or False for record in records)
    return picture, name, len(records), *map(statuses.count, STATUSES), on_file, "yes" if finished else "no"


def _jobs(folder):
    return names.jobs(folder) if folder.is_dir() else []
