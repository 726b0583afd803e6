"""equidiff report: put runs on one HTML page, or their pictures into a figure."""

import logging
import os
from pathlib import Path

from equidiff_cli.checks import one_of
from equidiff_cli.files import whole
from equidiff_cli.report.page import render
from equidiff_cli.request.check import complete
from equidiff_cli.runs.names import REPORT, SWEEP, find
from equidiff_cli.runs.reader import read

log = logging.getLogger(__name__)
FORMATS = ("html", "png", "pdf", "gif", "webp")
FILMS = ("gif", "webp")
OURS = {  # what stands in every file that this command wrote
    "html": b'<meta name="generator" content="EquiDiff report ',
    "png": b"Software\0EquiDiff report ",
    "pdf": b"/Creator (EquiDiff report ",
    "gif": b"EquiDiff report ",  # a comment
    "webp": b"EquiDiff report ",  # in EXIF
}


def prepare(config, directory, words):
    """Find the runs and check where the file may go; `ValueError` for what is wrong.

    Args:
        words: the directories that were given, of runs and of sweeps.

    Returns a function without arguments that writes the file and returns its path, for standard output.
    """
    complete(config)
    kind = one_of("format", config.format, FORMATS)
    paths = find(words)
    file = place(config.output, kind, words, paths)
    runs = [read(path, name) for path, name in zip(paths, names(paths), strict=True)]
    if kind in FILMS:
        runs = [walked(run, kind) for run in one(runs, kind)]
    elif kind != "html":
        runs = drawable(runs, kind)
    return lambda: work(runs, kind, file)


def drawable(runs, kind):
    """Those of `runs` that have samples; `ValueError` if none has, or if samples of one are not pictures."""
    for run in runs:
        if not run.pictured:
            raise ValueError(f"format={kind}: the samples of {run.path} are not pictures; take its grid.png, or html")
    with_samples = [run for run in runs if run.records]
    if not with_samples:
        raise ValueError(f"format={kind}: no sample is finished yet; format=html shows how far the runs are")
    return with_samples


def one(runs, kind):
    """The runs, if it is one; else `ValueError`."""
    if len(runs) != 1:
        raise ValueError(f"format={kind}: a film is of one run, {len(runs)} were given")
    return runs


def walked(run, kind):
    """A run that kept states of chains, which are pictures; else `ValueError`."""
    if not run.pictured:
        raise ValueError(f"format={kind}: the samples of {run.path} are not pictures")
    if not any(record["index"] in run.chains for record in run.records):
        raise ValueError(f"format={kind}: {run.path} kept no states of a finished chain; draw it with method=walk")
    return run


def work(runs, kind, file):
    """Write the page or the figure, whole or not at all."""
    with whole(file) as beside:
        if kind == "html":
            beside.write_text(render(runs), encoding="utf-8", errors="backslashreplace")  # a name may be in no encoding
        elif kind in FILMS:
            from equidiff_cli.report.film import write

            write(runs[0], beside, kind)
        else:
            from equidiff_cli.report.figure import draw, left_out

            if text := left_out(runs):
                log.warning("%s", text)
            draw(runs, beside)
    return [file]


def place(output, kind, words, paths):
    """The file to write: as given, or in the directory of the one run, of the one sweep, or else the current one.

    A file that is there already is replaced only if this command wrote it.
    """
    if output is None:
        parents = {path.parent for path in paths}
        if len(paths) == 1:
            folder = paths[0]
        elif len(words) == 1:
            folder = Path(words[0])
        elif len(parents) == 1 and (paths[0].parent / SWEEP).exists():
            folder = paths[0].parent
        else:
            folder = Path()
        file = folder.resolve() / (REPORT if kind == "html" else f"{'walk' if kind in FILMS else 'figure'}.{kind}")
    else:
        file = Path(output).absolute()
        if file.suffix.lower() != f".{kind}":
            raise ValueError(f"output={output}: format={kind} makes a .{kind} file; use that ending, or another format")
    if not file.parent.is_dir() or file.is_dir():
        raise ValueError(f"output={output}: must be a file in a folder that exists")
    if file.exists() and OURS[kind] not in file.read_bytes():
        raise ValueError(f"output={output or file}: exists and was not made by equidiff report; choose another name")
    if not os.access(file.parent, os.W_OK):
        raise ValueError(f"output={output or file}: the folder cannot be written to; choose another one")
    return file


def names(paths):
    """What runs are called: relative to the directory that they have in common, the last part of a single one."""
    if len(paths) == 1:
        return [paths[0].resolve().name]
    resolved = [path.resolve() for path in paths]
    common = os.path.commonpath([path.parent for path in resolved])
    return [os.path.relpath(path, common) for path in resolved]
