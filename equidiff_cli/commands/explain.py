"""equidiff explain: hold explanations of members beside those of the query and of unguided samples."""

import importlib.util
import json
import logging
import os
import sys

import torch
from huggingface_hub.utils import disable_progress_bars
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from safetensors.torch import save

from equidiff_cli.commands.evaluate import WIDTH, listed
from equidiff_cli.engine.device import pick_device
from equidiff_cli.errors import Failed, WrongRequest
from equidiff_cli.files import finite, whole
from equidiff_cli.pictures.convert import to_image
from equidiff_cli.report.explained import COLUMNS, table_of_methods
from equidiff_cli.runs.names import EXPLANATION, EXPLANATIONS, MAPS
from equidiff_cli.study.members import read
from equidiff_cli.study.models import Models
from equidiff_cli.study.table import sentences, table_of

log = logging.getLogger(__name__)
SHOWN = 8  # segments of a cluster
NEEDED = {"captum": "captum", "sklearn": "scikit-learn", "skimage": "scikit-image"}


def prepare(config, directory, words):
    """Check the request; `ValueError` for what is wrong with it.

    Args:
        words: the directories that were given, of runs and of sweeps.

    Returns a function without arguments that does the work, a generator of the explained directories.
    """
    if not words:
        raise ValueError("no run given; name run directories, such as outputs/2026-01-31/12-00-00-000000")
    if missing := [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]:
        raise ValueError(f"equidiff explain needs {' and '.join(missing)}: pip install 'equidiff[explain]'")
    if not sys.stderr.isatty():
        disable_progress_bars()
    device = pick_device(config.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return lambda: work(config, words, device)


def work(config, given, device):
    """Explain every run and yield its directory; what goes wrong with one is said, and the others go on."""
    models, console = Models(device, config), Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    jobs, wrong = listed(given)
    broken = []
    for count, path in enumerate(jobs, 1):
        console.print(f"{path}: run {count} of {len(jobs)}", highlight=False, markup=False, soft_wrap=True)
        try:
            if not os.access(path, os.W_OK):
                raise ValueError(f"{path}: cannot be written to, so {EXPLANATION} would be lost")
            explanation = explained(path, models)
        except (ValueError, ConnectionError) as error:
            wrong.append(str(error))
            continue
        except Exception as error:  # the other runs are not to suffer from it
            log.exception("%s", path)
            broken.append(f"{path}: {type(error).__name__}: {error}")
            continue
        for warning in explanation["warnings"]:
            log.warning("equidiff: %s: %s", path, warning)
        show(path, explanation, config.all, console)
        yield path
    if failures := broken + wrong:
        summary = f"{len(failures)} of {len(jobs)} were not explained: " if len(jobs) > 1 else ""
        raise (Failed if broken else WrongRequest)(summary + "; ".join(failures))


def explained(path, models):
    """The explanation of one run, which is written into its directory, with its maps."""
    from equidiff_cli.explain.case import explained as ready  # with captum, which takes seconds
    from equidiff_cli.explain.explain import explain
    from equidiff_cli.explain.maps import maps
    from equidiff_cli.explain.overlay import overlay

    case = ready(models.case(read(path)))
    explanation = finite(explain(case))
    sets = {"query": case.query, "samples": case.samples, "unguided": case.unguided}
    folder = path / EXPLANATIONS
    folder.mkdir(exist_ok=True)
    kept = {f"{kind}/{name}": maps(of, name) for kind, of in sets.items() for name in case.methods if len(of)}
    with whole(folder / MAPS) as beside:
        beside.write_bytes(save({name: tensor.contiguous() for name, tensor in kept.items()}))
    stems = {"query": ["query"], "samples": [f"{record['index']:03d}" for record in case.members]}
    for kind, names in stems.items():
        for name in case.methods:
            for i, stem in enumerate(names):
                with whole(folder / f"{stem}-{name}.png") as beside:
                    overlay(sets[kind].pictures[i].cpu(), maps(sets[kind], name)[i]).save(beside)
    for name, pictures in (case.found.pictures if case.found else {}).items():
        with whole(folder / f"{name}.png") as beside:
            to_image(torch.cat(list(pictures[:SHOWN]), dim=2)).save(beside)
    with whole(path / EXPLANATION) as beside:
        beside.write_text(json.dumps(explanation, indent=1, allow_nan=False) + "\n")
    return explanation


def show(path, explanation, everything, console):
    """What was found, and a table of the methods or of all numbers."""
    for sentence in sentences(explanation):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    for name, why in explanation["refused"].items():
        console.print(f"{name} is left out: {why}", highlight=False, markup=False, soft_wrap=True)
    console.print(table_of(path, explanation["metrics"]) if everything else methods_of(path, explanation))
    if not everything:
        rest = f"{path / EXPLANATION} has {len(explanation['metrics'])} numbers; --all shows them"
        console.print(rest, highlight=False, markup=False, soft_wrap=True)


def methods_of(path, explanation):
    """A row a method: the numbers that say most, in brackets those of unguided samples."""
    table = Table(title=escape(str(path)), title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("method")
    for title in COLUMNS:
        table.add_column(title, justify="right", overflow="fold")
    for title, cells in table_of_methods(explanation):
        table.add_row(title, *(with_null(cell) for cell in cells))
    return table


def with_null(cell):
    """A number and in brackets that of unguided samples."""
    null = "" if cell["null"] is None else f" ({cell['null']:.3g})"
    return ("-" if cell["value"] is None else f"{cell['value']:.3g}") + null
