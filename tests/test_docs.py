"""docs/how-to-extend.md, word for word: its files are written and its commands run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs/how-to-extend.md").read_text()
FILES = dict(re.findall(r"^`([\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
SHORTCUT, *BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BLOCKS = [block for block in BLOCKS if "try " in block]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extend")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run([sys.executable, "mynet.py"], cwd=folder, check=True)  # several commands need its weights
    return folder


def test_there_is_something_to_try():
    assert len(FILES) >= 10 and len(BLOCKS) >= 8 and SHORTCUT.startswith("try() {")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.sub(r"\W+", " ", block)[:60])
def test_commands(folder, block):
    commands = f'python() {{ "{sys.executable}" "$@"; }}\nequidiff() {{ python -m equidiff_cli.cli "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-e", "-c", commands + SHORTCUT + block],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "outputs/" in done.stdout, done.stderr
