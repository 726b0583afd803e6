"""What `make lint` cannot see of the laws of the house: who spells the names of files in a run directory."""

import ast
from pathlib import Path

import equidiff_cli
from equidiff_cli.runs import names

PACKAGE = Path(equidiff_cli.__file__).parent
FILES = {value for value in vars(names).values() if isinstance(value, str) and (value[0] == "." or "." in value[1:-2])}


def spelled(file):
    """The texts in a module that are a file's name and nothing else."""
    tree = ast.parse(file.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_only_runs_spells_the_names_of_its_files():
    assert {"summary.json", "samples.jsonl", "losses.csv", ".state", ".hydra", "evaluation.json"} <= FILES
    others = [file for file in PACKAGE.rglob("*.py") if file.parent.name != "runs"]
    found = {file.relative_to(PACKAGE).as_posix(): spelled(file) & FILES for file in others}
    assert {file: texts for file, texts in found.items() if texts} == {}


def test_few_modules_lie_loose():
    assert len(list(PACKAGE.glob("*.py"))) <= 6


def test_every_room_says_what_it_is_for_in_contributing():
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
    rooms = [
        folder.name for folder in PACKAGE.iterdir() if folder.is_dir() and folder.name not in ("__pycache__", "configs")
    ]
    assert [room for room in rooms if f"{room}/" not in page] == []
