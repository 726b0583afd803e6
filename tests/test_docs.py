"""The pages with examples, word for word: their files are written, their commands and their Python run."""

import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import command

from equidiff_cli.metrics.interval import wilson
from equidiff_cli.request.check import before
from equidiff_cli.request.schema import composed

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "how-to-extend.md").read_text()
FILES = dict(re.findall(r"^`([\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
SHORTCUT, *BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BLOCKS = [block for block in BLOCKS if "try " in block]


README = (DOCS.parent / "README.md").read_text()
EXAMPLES = re.findall(r"^    equidiff run(?: +(.*?))? *(?:#.*|\|.*)?$", README, re.MULTILINE)
TINY = ("prior=embedded", "samples=1", "batch=1", "budget.steps=1", "prior.steps=1", "null_samples=2")


@pytest.mark.parametrize("words", EXAMPLES)
def test_the_examples_of_the_readme_run_in_a_fresh_clone(tmp_path, monkeypatch, words):
    """As written, but smaller; where a target has to be downloaded, up to there. A GPU would have another prior."""
    assert len(EXAMPLES) >= 8
    words, _, piped = words.partition(" < ")
    shipped = tmp_path / "equidiff_cli" / "shipped"
    shipped.mkdir(parents=True)
    (shipped / "queries").symlink_to(DOCS.parent / "equidiff_cli" / "shipped" / "queries")
    if piped:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO((tmp_path / piped).read_bytes())))
    if "target=resnet50" in words:
        return before("run", composed(*shlex.split(words)), [])
    done = command.in_process(["run", *shlex.split(words), *TINY], tmp_path)
    assert done.returncode == 0 and "outputs/" in done.stdout, done.stderr


CHOOSING = (DOCS / "how-to-choose.md").read_text()
ASKED = re.findall(r"^equidiff run (.*)$", CHOOSING, re.MULTILINE)


@pytest.mark.parametrize("words", ASKED)
def test_the_examples_of_questions(tmp_path, words):
    assert len(ASKED) >= 9
    small = ("prior=embedded", "samples=1", "budget.steps=1", "prior.steps=1", "null_samples=4", "least_psnr=0")
    done = command.in_process(["run", *shlex.split(words), *small], tmp_path)
    assert done.returncode == 0 and "outputs/" in done.stdout, done.stderr


def test_every_question_and_what_goes_with_it_has_a_row():
    rows = "\n".join(line for line in CHOOSING.splitlines() if line.startswith("|"))
    questions = [f"question={file.stem}" for file in (DOCS.parent / "configs" / "question").glob("*.yaml")]
    for words in (
        *questions,
        "objective=all",
        "near=",
        "region=",
        "region_role=evidence",
        "diverse=true",
        "query=none",
    ):
        assert words in rows, words


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extend")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run([sys.executable, "mynet.py"], cwd=folder, env=command.environment(), check=True)
    return folder


def tried(line, folder):
    """What a line `try WORDS` does, with the words that the page's shell function adds."""
    added = re.fullmatch(r'try\(\) { equidiff run "\$@" (.*); }\n', SHORTCUT)[1]
    return command.in_process(["run", *shlex.split(line)[1:], *added.split()], folder)


def test_there_is_something_to_try():
    assert len(FILES) >= 13 and len(BLOCKS) >= 11 and SHORTCUT.startswith("try() {")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.sub(r"\W+", " ", block)[:60])
def test_how_to_extend(folder, block):
    lines = [line for line in block.splitlines() if line != "python mynet.py"]
    for line in lines:
        done = tried(line, folder)
        assert done.returncode == 0 and "outputs/" in done.stdout, done.stderr


def test_a_block_in_a_shell(folder):
    """The shell function, quoting and the current directory are those of a shell; one block stands for all."""
    ours = f'python() {{ "{sys.executable}" "$@"; }}\nequidiff() {{ python -m equidiff_cli.cli "$@"; }}\n'
    (block,) = [block for block in BLOCKS if "~target.name" in block]
    done = subprocess.run(
        ["bash", "-e", "-c", ours + SHORTCUT + block],
        cwd=folder,
        env=command.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "outputs/" in done.stdout, done.stderr


def test_a_method_without_an_optimiser_refuses_one(folder):
    done = tried("try method._target_=plain.Plain optimizer=sgd", folder)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        "equidiff: optimizer=sgd: the chosen method takes no optimizer; leave it out, or choose another method\n"
    )


def test_from_python(tmp_path, monkeypatch, capsys):
    """The blocks of the page in order, those of the shell as well."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", (DOCS / "python.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    names = {}
    for kind, text in blocks:
        if kind == "sh":
            assert command.in_process(shlex.split(text)[1:], tmp_path).returncode == 0
        else:
            exec(text, names)
    assert sorted(names["members"]) == [0, 1] and names["members"][0].shape == (3, 32, 32)
    assert names["run"].pictures.shape == (2, 32, 32, 3)
    assert names["run"].latents["z"].shape == (2, 10, 8, 8)
    assert len(names["run"].loss_rows) == 4 and names["run"].loss_rows[0]["step"] == 1
    assert len(names["finished"]) == 1


def test_the_notebook(tmp_path, monkeypatch):
    """Its code runs, with a smaller budget than it was made with, and its pictures are in it."""
    notebook = json.loads((DOCS / "python.ipynb").read_text())
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names = {}
    for cell in cells:
        text = "".join(cell["source"])
        for more, fewer in {"samples=4": "samples=1", "budget.steps=25": "budget.steps=2", "=32": "=4"}.items():
            text = text.replace(more, fewer)
        exec(text, names)
    shown = [output for cell in cells for output in cell["outputs"] if "image/png" in output.get("data", {})]
    assert len(shown) >= 2


def test_the_intervals_of_the_worked_case():
    """The table of how many samples one needs, by the formula that `evaluate` uses."""
    page = (DOCS / "worked-case.md").read_text()
    rows = re.findall(r"^\| (\d+) \|((?: \d+ to \d+ % \|){3})$", page, re.MULTILINE)
    assert [int(count) for count, _ in rows] == [8, 16, 64, 256]
    for count, cells in rows:
        bounds = [[int(number) for number in pair] for pair in re.findall(r"(\d+) to (\d+)", cells)]
        intervals = [wilson(share * int(count), int(count)) for share in (0.5, 0.75, 1)]
        assert bounds == [[round(100 * bound) for bound in pair] for pair in intervals]
    for successes, low, high in re.findall(r"(\d+) of 64, \d+ % \[(\d+), (\d+)\]", page):
        assert [round(100 * bound) for bound in wilson(int(successes), 64)] == [int(low), int(high)]
    assert "none of 8 allows up to 32 %" in page and round(100 * wilson(0, 8)[1]) == 32
