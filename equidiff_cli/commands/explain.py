"""equidiff explain: hold explanations of members beside those of the query and of unguided samples."""

import importlib.util
import logging

import torch
from rich.markup import escape
from rich.table import Table
from safetensors.torch import save

from equidiff_cli.commands.several import Several, writable
from equidiff_cli.files import finite, whole, write_json
from equidiff_cli.pictures.convert import to_image
from equidiff_cli.report.explained import COLUMNS, table_of_methods
from equidiff_cli.runs.names import EXPLANATION, EXPLANATIONS, MAPS
from equidiff_cli.study.members import read
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
    runs = Several(words, config, "explained")
    if missing := [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]:
        raise ValueError(f"equidiff explain needs {' and '.join(missing)}: pip install 'equidiff[explain]'")
    return lambda: work(config, runs)


def work(config, runs):
    """Explain every run and yield its directory."""
    for path, explanation in runs.each(lambda path: explained(path, runs.models)):
        for warning in explanation["warnings"]:
            log.warning("equidiff: %s: %s", path, warning)
        show(path, explanation, config.all, runs)
        yield path
    runs.end()


def explained(path, models):
    """The explanation of one run, which is written into its directory, with its maps."""
    from equidiff_cli.explain.case import explained as ready  # with captum, which takes seconds
    from equidiff_cli.explain.explain import explain
    from equidiff_cli.explain.maps import maps
    from equidiff_cli.explain.overlay import overlay

    writable(path, EXPLANATION)
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
    write_json(path / EXPLANATION, explanation)
    return explanation


def show(path, explanation, everything, runs):
    """What was found, and a table of the methods or of all numbers."""
    for sentence in sentences(explanation):
        runs.say(sentence)
    for name, why in explanation["refused"].items():
        runs.say(f"{name} is left out: {why}")
    runs.console.print(table_of(path, explanation["metrics"]) if everything else methods_of(path, explanation))
    if not everything:
        runs.say(f"{path / EXPLANATION} has {len(explanation['metrics'])} numbers; --all shows them")


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
