"""Wrong values are answered before torch is imported, which takes longer than all else of an answer."""

import json
import subprocess
import sys

import pytest
from helpers import command

from equidiff_cli.parts.accepted import ACCEPTED, LEAST
from equidiff_cli.parts.noise import KEEPERS
from equidiff_cli.parts.objectives import POOLS
from equidiff_cli.prior import accepted as of_priors
from equidiff_cli.prior.sampler import SOLVERS

WRONG = {  # the words, and what is said
    "run samples=0": "samples=0: must be a whole number at least 1",
    "run samples=many": "samples=many: must be a whole number",
    "run budget.threshold=-1": "budget.threshold=-1: must be auto or a number above 0",
    "run budget.threshold=low": "budget.threshold=low: must be auto or a number above 0",
    "run device=gpu": "device=gpu: no such device; use auto, cpu, cuda, cuda:1",
    "run checkpoint=5": "checkpoint=5: must be auto, all, none or a whole number at least 0 and at most 4",
    "run query=nothing.png": "query=nothing.png: no such file",
    "run query=text.png": "query=text.png: not a picture",
    "run query=.": "query=text.png: not a picture",
    "run filter.cutoff=2": "filter.cutoff=2: must be a number at least 1e-06 and at most 1",
    "run filter=butterworth filter.order=0": "filter.order=0: must be a whole number at least 1",
    "run distance=huber distance.delta=0": "distance.delta=0: must be a number above 0",
    "run optimizer=sgd optimizer.lr=-1": "optimizer.lr=-1: must be a number above 0",
    "run optimizer=sgd optimizer.momentum=1": "optimizer.momentum=1: must be a number at least 0 and below 1",
    "run optimizer=adam optimizer.betas=[1,2]": "optimizer.betas=1: must be a number at least 0 and below 1",
    "run optimizer=adam optimizer.betas=0.9": "optimizer.betas=0.9: must be two numbers",
    "run optimizer=sgd optimizer.normalize=2": "optimizer.normalize=2: must be true or false",
    "run optimizer=gauss_newton optimizer.damping=-1": "optimizer.damping=-1: must be a number at least 0",
    "run optimizer=polyak optimizer.longest=0": "optimizer.longest=0: must be a number above 0",
    "run optimizer.noise=pink": "optimizer.noise=pink: use one of free, sphere, white",
    "run budget.patience=0": "budget.patience=0: must be a whole number at least 1",
    "run method=rejection method.tolerance=0": "method.tolerance=0: must be a number above 0",
    "run method=rejection method.pool=0": "method.pool=0: must be a whole number at least 1",
    "run method.pool=7": "method.pool: the chosen option of method has no such key, only method=rejection",
    "run objective=features objective.pool=sum": "objective.pool=sum: use one of mean, max, none",
    "run prior.solver=rk4": "prior.solver=rk4: use one of euler, heun",
    "run prior.steps=0": "prior.steps=0: must be a whole number at least 1",
    "run +filter.order=4": "filter.order: no such key; use one of cutoff",
    "run +distance.delta=4": "distance.delta: no such key; this distance takes none",
    "run method._target_=plain": "method._target_=plain: must name a function or a class, as in module.name",
    "run method=walk method.angle=0": "method.angle=0: must be a number above 0 and at most 1.5",
    "run method=walk method.aim=1": "method.aim=1: must be null or a number above 0 and below 1",
    "run method=walk method.rotations=0.5": "method.rotations=0.5: must be a whole number at least 1",
    "run method=walk method.keep=0": "method.keep=0: must be a whole number at least 1",
    "run method=walk method.forget=-1": "method.forget=-1: must be a whole number at least 0",
    "run method.every=2": "method.every: the chosen option of method has no such key, only method=walk",
    "run target=nope": "target=nope: use one of circles",
    "run -m query=glob(*)": "query=glob(*): glob chooses among the options of a group, and query is none",
    "run hydra.job.chdir=true": "hydra.job.chdir=true: ",
    "evaluate nowhere": "nowhere: no such directory",
    "evaluate null_samples=0 nowhere": "null_samples=0: must be a whole number at least 16",
    "evaluate typical=-1 nowhere": "typical=-1: must be a whole number at least 0, auto, or the directory of a run of",
    "evaluate typical=some nowhere": "typical=some: must be a whole number at least 0, auto, or the directory of a run",
    "evaluate bandwidth=0 nowhere": "bandwidth=0.0: must be a number above 0",
    "evaluate typical_tolerance=0 nowhere": "typical_tolerance=0.0: must be a number above 0",
    "explain nowhere": "nowhere: no such directory",
    "explain methods=[salience] nowhere": "methods=salience: use one of saliency, input_x_gradient",
    "explain methods=3 nowhere": "methods=3: must be all or a list such as [saliency,gradcam]",
    "explain baseline=white nowhere": "baseline=white: use one of mean, black, unguided",
    "explain cells=1 nowhere": "cells=1: must be a whole number at least 2 and at most 32",
    "explain top=0.7 nowhere": "top=0.7: must be a number above 0 and at most 0.5",
    "explain layers=[] nowhere": "layers=[]: must be auto or a list such as [layer2,layer3]",
    "explain concepts=none nowhere": "concepts=none: there is no such folder",
    "explain concepts=few nowhere": "concepts=few: the concept striped has 1 picture; at least 4 are needed",
    "explain segmentation=few nowhere": "segmentation=few: has no picture with a mask; give FOLDER/pictures/a.png",
    "report nowhere": "nowhere: no such directory",
    "fetch prior=embedded prior.steps=0": "prior.steps=0: must be a whole number at least 1",
}
CODE = """
import contextlib, io, json, sys
from hydra.core.global_hydra import GlobalHydra
from equidiff_cli import cli
for words in json.loads(sys.argv.pop()):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = cli.command_line(words.split())
    GlobalHydra.instance().clear()
    print(json.dumps([words, code, said.getvalue(), "torch" in sys.modules]))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What one process answered to all of it, each: exit code, what was said, whether torch was imported by then."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "text.png").write_text("no picture")
    (folder / "few" / "striped").mkdir(parents=True)
    (folder / "few" / "striped" / "a.png").write_text("one picture")
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(list(WRONG))],
        cwd=folder,
        env=command.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["few", "text.png"]
    return {words: rest for words, *rest in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_value_is_answered_without_torch(answers, words):
    code, said, torch_was_imported = answers[words]
    assert code == 2 and said.startswith(f"equidiff: {WRONG[words]}") and said.count("\n") == 1, said
    assert not torch_was_imported


def test_what_is_accepted_is_what_there_is():
    assert tuple(SOLVERS) == of_priors.SOLVERS
    for noise in KEEPERS:
        assert ACCEPTED["optimizer.noise"]("optimizer.noise", noise) == noise
    for pool in POOLS:
        assert ACCEPTED["objective.pool"]("objective.pool", pool) == pool
    assert ACCEPTED["filter.cutoff"]("filter.cutoff", LEAST) == LEAST
