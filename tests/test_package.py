"""The wheel holds everything a run needs, and works without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The contents of a freshly built wheel, unpacked; no part of the checkout is on the path."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def call(installed, folder, *arguments):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", "import sys; from equidiff_cli.cli import main; sys.exit(main())", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )


def test_the_wheel_has_configurations_weights_and_pictures(installed):
    package = installed / "equidiff_cli"
    assert {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")} == {
        path.relative_to(package / "configs") for path in (package / "configs").rglob("*.yaml")
    }
    for pattern in ("shipped/*.safetensors", "shipped/MODEL_CARD.md", "shipped/queries/*.png", "evaluation/*.yaml"):
        names = {path.name for path in (ROOT / "equidiff_cli").glob(pattern)}
        assert names and names == {path.name for path in package.glob(pattern)}, pattern
    assert not (installed / "tests").exists() and not (installed / "scripts").exists()


def test_the_wheel_is_small_enough(installed):
    weights = sum(path.stat().st_size for path in (installed / "equidiff_cli").rglob("*.safetensors"))
    assert weights < 40e6


def test_the_wheel_runs(installed, tmp_path):
    help_text = call(installed, tmp_path, "--help")
    assert help_text.returncode == 0 and "* gaussian" in help_text.stdout
    quick = ("samples=1", "budget.steps=1", "prior.steps=2", "null_samples=2")
    done = call(installed, tmp_path, "run", *quick)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / done.stdout.strip() / "samples" / "000.png").exists()
