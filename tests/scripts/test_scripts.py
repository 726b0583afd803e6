"""All scripts: their help, that the commands in the docs suit them, and on what each room stands."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

PIPED = ("scripts.measure.compare", "scripts.measure.circles")  # get runs from the command before
ROOT = Path(__file__).parents[2]
FILES = sorted(file for folder in ("scripts", "tests/helpers") for file in (ROOT / folder).rglob("*.py"))
NAMES = {file: ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in FILES}
STARTED = [NAMES[file] for file in FILES if 'if __name__ == "__main__":' in file.read_text()]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "equidiff_cli" / "shipped" / "MODEL_CARD.md"])


def commands():
    """(page, module, its words) of every command of the docs and of the scripts themselves that starts a script."""
    for page in [*PAGES, *FILES]:
        text = page.read_text().replace("\\\n", " ")
        for module, words in re.findall(r"python -m ((?:scripts|tests)\.\S+?)(?=[\s`)\"])([^\n`)|>#]*)", text):
            yield page.name, module, shlex.split(words) if page in PAGES else None


@pytest.mark.parametrize("name", STARTED)
def test_help_says_how_a_script_is_started(name):
    text = importlib.import_module(name).parser().format_help()
    assert "usage:" in text and re.search(rf"python -m {name}\b", text)


def test_commands_of_the_docs_are_taken_by_the_scripts_they_name():
    found, taken = list(commands()), 0
    for page, module, words in found:
        assert module in STARTED, f"{page}: there is no {module}"
        if words and "..." not in words and not module.startswith("tests"):
            importlib.import_module(module).parser().parse_args([*words, *(["run"] * (module in PIPED))])
            taken += 1
    assert taken >= 15


def imported(file):
    """The modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(
    ("room", "allowed"), [("shared", {"shared"}), ("train", {"shared", "train"}), ("measure", {"shared", "measure"})]
)
def test_trainings_and_measurements_stand_on_what_they_share_alone(room, allowed):
    files = [file for file in FILES if file.parent == ROOT / "scripts" / room]
    seen = {name.split(".")[1] for file in files for name in imported(file) if name.startswith("scripts.")}
    assert files and seen <= allowed


def test_files_are_written_whole_in_one_way():
    """By `equidiff_cli.files.whole`, not by a name of one's own that is renamed afterwards."""
    assert not [file.name for file in FILES if re.search(r"os\.(replace|rename)\b", file.read_text())]
