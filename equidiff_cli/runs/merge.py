"""The shards of a run become one run directory.

A shard is an ordinary run directory whose samples keep the numbers that they have in the whole. Nothing in a shard is
touched until the run stands: a merge that is killed begins anew, and what it has written it writes again.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import load_file, save

from equidiff_cli.files import finite, whole, write_json
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.runs import names
from equidiff_cli.runs.hindsight import off_the_shell
from equidiff_cli.runs.parse import records_of
from equidiff_cli.runs.reader import noiseless, read
from equidiff_cli.runs.recorder import caption, walked

OF_ONE = "shard"  # of a configuration: what a shard has and the whole has not
MEMORY = ("batch", "checkpoint")  # results depend on them by rounding only
FOLDERS = (names.SAMPLES, names.UNGUIDED, names.CHAINS)
LOGS = (names.LOSSES, names.KEPT, names.RECORDS)


def parts_of(path):
    """The directories of the shards of the run `path`, in order."""
    return sorted(folder for folder in (Path(path) / names.SHARDS).glob("[0-9]*") if folder.is_dir())


def merge(path, account=None):
    """Make one run directory of the finished shards in `path`, and remove them; nothing where that was done.

    Args:
        account: (a shard's `Run`, all records) -> what its method says of all samples together, for the summary.

    Raises `ValueError` where shards were made with different models or options.
    """
    path, parts = Path(path), parts_of(path)
    if not names.is_finished(path):
        runs = [read(part) for part in parts]
        agreed(path, runs)
        gather(path, parts)
        records = records_of(path / names.RECORDS)
        whole_request(path, parts[0])
        summary = summed(runs, records, path) | (account(runs[0], records) if account else {})
        sheet(path, records, summary)
        write_json(path / names.SUMMARY, finite(summary))  # last: from here on the run is finished
    shutil.rmtree(path / names.SHARDS, ignore_errors=True)


def agreed(path, runs):
    """`ValueError` for the first thing of which results depend and in which shards differ."""
    first = identity(runs[0])
    for run in runs[1:]:
        for key, value in identity(run).items():
            if value != first.get(key):
                raise ValueError(
                    f"{key}: {value} in {run.path}, but {first.get(key)} in {runs[0].path}; shards of one run must"
                    f" agree: name it on the command line, and remove one of {path / names.SHARDS}"
                )


def identity(run):
    """What the results of a finished run depend on, but for what part of the whole it is."""
    known = run.summary["configuration"]
    return {key: value for key, value in known.items() if key not in (OF_ONE, *MEMORY)}


def gather(path, parts):
    """Bring the files of shards together: pictures as they are, latents and logs one after another."""
    path.mkdir(parents=True, exist_ok=True)
    for part in parts:
        for folder in FOLDERS:
            for file in sorted((part / folder).rglob("*.*")):
                put(file, path / file.relative_to(part))
    put(next(parts[0].glob(f"{names.QUERY}.*")), path / f"{names.QUERY}.png")
    if latents := [load_file(part / names.LATENTS) for part in parts if (part / names.LATENTS).exists()]:
        with whole(path / names.LATENTS) as beside:
            beside.write_bytes(save({name: np.concatenate([one[name] for one in latents]) for name in latents[0]}))
    for log in LOGS:
        texts = [(part / log).read_text() for part in parts if (part / log).exists()]
        if log == names.LOSSES:  # its first line names the columns
            texts = texts[:1] + [text.partition("\n")[2] for text in texts[1:]]
        if texts:
            with whole(path / log) as beside:
                beside.write_text("".join(texts))


def put(file, place):
    """The same file at another place: a second name for it where the file system has that, else a copy."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        os.link(file, place)
    except OSError:
        with whole(place) as beside:
            shutil.copyfile(file, beside)


def whole_request(path, part):
    """Write the record of the request as that of the whole, by that of one shard."""
    (path / names.ASKED).mkdir(exist_ok=True)
    for file in (part / names.ASKED).glob("*.yaml"):
        content = yaml.safe_load(file.read_text())
        if file.stem == "config":
            content |= {OF_ONE: None, "shards": 1}
        elif file.stem == "overrides":
            content = [word for word in content if not word.startswith((f"{OF_ONE}=", "shards=", "cluster="))]
        with whole(path / names.ASKED / file.name) as beside:
            beside.write_text(yaml.safe_dump(content, sort_keys=False))


def summed(runs, records, path):
    """The summary of the whole: what shards share, their counts and times together."""
    each, first = [run.summary for run in runs], runs[0].summary
    seconds = sum(one["wall_seconds"] for one in each)
    shared = [line for line in first["warnings"] if all(line in one["warnings"] for one in each)]
    norms = [record["latent_norm"] for record in records]
    late = None
    if not noiseless(records):
        late = off_the_shell(norms, load_file(path / names.LATENTS)["z_start"][0].size, "start" in first)
    return (
        first
        | {
            "configuration": {key: value for key, value in first["configuration"].items() if key != OF_ONE},
            "warnings": list(dict.fromkeys([*shared, *([late] if late else [])])),
            "counts": {name: sum(one["counts"][name] for one in each) for name in first["counts"]},
            "on_file": sum(one["on_file"] for one in each),
            "device": ", ".join(dict.fromkeys(one["device"] for one in each)),
            "wall_seconds": round(seconds, 2),
            "samples_per_hour": round(3600 * len(records) / seconds, 1),
            "peak_memory_mib": max(one["peak_memory_mib"] for one in each),
            "shards": {"count": len(runs), "longest_seconds": max(one["wall_seconds"] for one in each)},
        }
        | walked(records)
    )


def sheet(path, records, summary):
    """The query and the samples side by side, as a run would have it."""
    target = records[0]["target"]
    captions = [caption(summary["query_seen"], target)]
    captions += [caption(record.get("seen", {}), record["objective_saved"]) for record in records]
    files = [path / record["file"] for record in records]
    image = Pictures().sheet(path / f"{names.QUERY}.png", files, None, captions)
    with whole(path / names.GRID) as beside:
        image.save(beside)
