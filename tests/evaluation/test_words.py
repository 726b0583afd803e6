"""The words for people: every metric of the code has them, and docs/evaluation.md names exactly these."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from equidiff_cli.evaluation.evaluate import SECTIONS
from equidiff_cli.study.findings import Words
from equidiff_cli.study.metric import Metric

PAGE = (Path(__file__).parents[2] / "docs/evaluation.md").read_text()
MODULES = {section.__name__: import_module(section.__module__) for section in SECTIONS}
by_section = pytest.mark.parametrize("section", MODULES)
of_sets = pytest.mark.parametrize("section", [name for name in MODULES if name != "mixing"])  # that is of chains


def documented(section):
    """What the first column of a section's table names: metrics, and curves."""
    (part,) = re.findall(rf"^## {section}\b(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    cells = [row.split("|")[1] for row in part.splitlines() if row.startswith("|")]
    numbers, curves = ([cell for cell in cells if ("curve" in cell) == curve] for curve in (False, True))
    return (set(re.findall(r"`([^`]+)`", " ".join(cells))) for cells in (numbers, curves))


@of_sets
def test_every_metric_has_words_and_every_word_a_metric(section):
    module = MODULES[section]
    metrics = {name: one for name, one in vars(module).items() if isinstance(one, Metric)}
    assert list(metrics) == [one.name for one in metrics.values()]
    assert sorted(metrics) == sorted(module.WORDS["metrics"])


@by_section
def test_words_are_whole(section):
    words = MODULES[section].WORDS
    assert set(words) <= {"metrics", "absent", "columns", "curves", "spaces"}
    for name, entry in (words["metrics"] | words.get("absent", {})).items():
        said = Words(**{"name": name} | entry)
        assert said.title and said.unit and said.source and said.about
        assert said.better in (None, "lower", "higher", "near 1", "{better}")
    for entry in words.get("columns", {}).values():
        assert set(entry) - {"name"} == {"title", "unit", "about"}


@of_sets
def test_a_placeholder_is_a_parameter_or_a_fact(section):
    """A parameter in a metric's name must be one that its function takes."""
    module = MODULES[section]
    for name, entry in module.WORDS["metrics"].items():
        takes = inspect.signature(getattr(module, name).function).parameters
        assert set(re.findall(r"{(\w+)", entry.get("name", name))) == set(takes) - {"set"}


@by_section
def test_the_page_names_every_number_and_no_other(section):
    words = MODULES[section].WORDS
    names = {re.sub(r"{(\w+)[^}]*}", r"<\1>", entry.get("name", name)) for name, entry in words["metrics"].items()}
    numbers, curves = documented(section)
    assert numbers == names and curves == set(words.get("curves", {}))
