"""equidiff audit: say what a network holds, what it ignores, and which shortcuts it took."""

import hashlib
import importlib.util
import json
import logging
import os
from pathlib import Path

from PIL import Image

from equidiff_cli import __version__
from equidiff_cli.commands.several import Several, writable
from equidiff_cli.files import finite, whole, write_json
from equidiff_cli.report.audits import MARK, render
from equidiff_cli.request.check import check_audit
from equidiff_cli.request.groups import plain
from equidiff_cli.request.schema import composed
from equidiff_cli.runs.names import AUDIT, AUDIT_KEYS, AUDIT_PAGE, AUDITED, AUDITS, RECORDS
from equidiff_cli.study.members import read

log = logging.getLogger(__name__)
ELSEWHERE = ("again", "output", "device", "batch")  # options that findings do not depend on


def prepare(config, directory, words):
    """Check the request; `ValueError` for what is wrong with it.

    Args:
        words: the directories that were given, of runs and of sweeps.

    Returns a function without arguments that does the work, a generator of the page that was written.
    """
    check_audit(config)
    if importlib.util.find_spec("sklearn") is None:
        raise ValueError("equidiff audit needs scikit-learn: pip install 'equidiff[audit]'")
    runs = Several(words, config, "audited")
    folder = place(config.output, words, runs.paths)
    return lambda: work(config, runs, folder)


def place(output, words, paths):
    """The folder of the page and the table; `ValueError` if they cannot be written there, or would replace others."""
    alone = paths[0] if len(paths) == 1 else Path(words[0]) if len(words) == 1 else Path()
    folder = (alone if output is None else Path(output)).resolve()
    if not os.access(folder, os.W_OK):
        raise ValueError(f"output={output or folder}: the folder cannot be written to; choose another one")
    for name, mark in ((AUDIT_PAGE, MARK), (AUDITS, AUDIT_KEYS)):
        file = folder / name
        if file.exists() and mark.encode() not in file.read_bytes()[:4096]:
            raise ValueError(f"output={folder}: {name} in it was not made by equidiff audit; choose another folder")
    return folder


def work(config, runs, folder):
    """Audit every run, then write the page and the table."""
    # imported here: scikit-learn takes seconds
    from equidiff_cli.audit.audit import audit
    from equidiff_cli.audit.network import Together, heading, lines

    together = Together()
    with whole(folder / AUDITS) as table:
        table.write_text(heading())
        for path, found in runs.each(lambda path: audited(path, config, runs.models, audit)):
            together.take(path, found)
            with open(table, "a") as opened:
                opened.write(lines(path, found))
            if len(runs.paths) == 1:
                for finding in found["findings"]:
                    runs.say(f"{finding['title']} {finding['answer']}")
        if not runs.finished:  # then no table is left either
            runs.end()
    summary = together.summary()
    if len(runs.finished) > 1:
        runs.say(summary["answer"])
    with whole(folder / AUDIT_PAGE) as beside:
        beside.write_text(render(runs.finished, finite(summary)), encoding="utf-8", errors="backslashreplace")
    yield folder / AUDIT_PAGE
    runs.end()


def audited(path, config, models, audit):
    """The audit of a run: what is there of the same request, or a new one, which is written."""
    made_of = fingerprint(path, config)
    file = path / AUDIT
    if file.exists() and not config.again:
        try:
            known = json.loads(file.read_text())
        except ValueError:
            known = {}
        if known.get("made_of") == made_of:
            return known
    writable(path, AUDIT)
    run = read(path)
    found, pictures = audit(models.case(run), lambda name: models.target(composed(f"target={name}"), run.query))
    for warning in run.warnings:
        log.warning("equidiff: %s: %s", path, warning)
    (path / AUDITED).mkdir(exist_ok=True)
    for number, picture in pictures.items():
        array = (picture * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(array).save(path / AUDITED / f"{number:04d}.png")
    found = finite(found | {"made_of": made_of})
    write_json(file, found)
    return found


def fingerprint(path, config):
    """What an audit depends on: the records of the run, with the hashes of its pictures, the options with what is in
    the files and folders that they name, and the version."""
    options = {key: value for key, value in plain(config).items() if key not in ELSEWHERE}
    records = (path / RECORDS).read_bytes() if (path / RECORDS).exists() else b""
    words = [word for value in options.values() for word in (value if isinstance(value, list) else [value])]
    named = [content(word) for word in words if isinstance(word, str)]
    return hashlib.sha256(records + json.dumps([__version__, options, named], sort_keys=True).encode()).hexdigest()


def content(word):
    """What tells whether that which an option names is still the same, as JSON takes it; None if it names no file."""
    path = Path(word)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    module = word.partition(".")[0]
    spec = importlib.util.find_spec(module) if not path.is_file() and "." in word and module.isidentifier() else None
    file = Path(spec.origin) if spec and spec.origin else path
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
