"""What a run with the shipped models leaves alone: libraries that take as long to import as torch."""

import subprocess
import sys

from helpers import command

HEAVY = {"diffusers", "matplotlib", "scipy", "sklearn", "skimage", "timm", "torch._dynamo", "torchvision"}
CODE = """
import gc
import sys
from hydra.core.global_hydra import GlobalHydra
from equidiff_cli import cli
for words in sys.argv[1:]:
    assert cli.command_line(words.split()) == 0
    GlobalHydra.instance().clear()
assert gc.isenabled()
print(*sys.modules, file=sys.stderr)
"""


def test_nothing_heavy_but_torch_is_imported(tmp_path):
    drawn = "run samples=1 null_samples=2 budget.steps=2 filter=none"
    seen = f"{drawn} target=smallresnet objective=features objective.layer=layer1"
    done = subprocess.run(
        [sys.executable, "-c", CODE, drawn, seen, "layers target=planted"],
        cwd=tmp_path,
        env=command.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    modules = set(done.stderr.splitlines()[-1].split())
    assert "torch" in modules and HEAVY & modules == set()
