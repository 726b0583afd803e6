"""Nearest: the order of real pictures, what is refused, runs that are stopped, folders that change."""

import json

import pytest
import torch

from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import Plan
from equidiff_cli.engine.slots import Slots
from equidiff_cli.errors import WrongRequest
from equidiff_cli.methods.events import Finished
from equidiff_cli.methods.nearest import Nearest
from equidiff_cli.parts.distances import SquaredL2
from equidiff_cli.parts.filters import Identity
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.pictures.convert import to_image


def grey(*levels):
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).clone()


def method(pictures, query=None, threshold=1e-3):
    made = Nearest(threshold, lambda name, side: (pictures, []), real=".")
    made.prepare(grey(0.5) if query is None else query, None)
    return made


def draw(one, samples, size=8):
    question = Invariance(lambda x: x.mean((1, 2, 3))[:, None], SquaredL2(), Identity(), grey(0.5))
    slots = Slots([(i, 10 + i) for i in range(samples)], size, "cpu")

    class Prior:
        device = torch.device("cpu")

    events = one(Prior, question, slots, Memory(Plan(2, 1, 1)))
    return [event for event in events if isinstance(event, Finished)]


@pytest.mark.parametrize("size", [2, 8])
def test_samples_are_real_pictures_from_the_nearest_on(size):
    found = draw(method(grey(0.9, 0.51, 0.5, 0.05, 0.47)), samples=3, size=size)
    assert [one.index for one in found] == [0, 1, 2]
    assert [round(one.best["picture"].mean().item(), 4) for one in found] == [0.51, 0.47, 0.9], "not the query itself"
    assert [one.status for one in found] == ["converged", "budget", "budget"]
    assert [one.best["loss"].item() for one in found] == pytest.approx([2e-4, 18e-4, 0.32], rel=1e-3)
    assert {one.evaluations for one in found} == {0}


def test_too_few_pictures_and_none_are_refused():
    one = method(grey(0.9, 0.1))
    with pytest.raises(WrongRequest, match=r"^samples=3: method.real=\. holds 2 pictures besides the query"):
        one.forecast(None, None, 3, 0, None)
    assert one.forecast(None, None, 2, 0, None) == "the nearest 2 of 2 pictures of ."
    with pytest.raises(ValueError, match=r"^method.real=\.: holds no picture but the query itself"):
        method(grey(0.5))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "real").mkdir()
    for i in range(5):
        x = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(i))
        to_image(x).save(tmp_path / "real" / f"{i}.png")
    return tmp_path


SHORT = ("method=nearest", "prior=embedded", "prior.steps=1", "null_samples=8", "device=cpu", "hydra.run.dir=run")


def test_a_run_shows_files_of_the_folder_and_goes_on_only_with_the_same(equidiff, folder, monkeypatch):
    from equidiff_cli.runs import writer

    append, calls = writer.append, iter(range(100))

    def stopping(*arguments):
        if next(calls) == 2:
            raise OSError("no space")
        append(*arguments)

    words = (*SHORT, "method.real=real", "samples=4")
    monkeypatch.setattr(writer, "append", stopping)
    assert equidiff("run", *words).returncode == 1
    monkeypatch.setattr(writer, "append", append)
    (folder / "real" / "0.png").rename(folder / "0.png")
    done = equidiff("run", *words)
    assert done.returncode == 2 and "method.real (SHA-256 of its pixels)" in done.stderr
    (folder / "0.png").rename(folder / "real" / "0.png")
    done = equidiff("run", *words)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (folder / "run" / "samples.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records]
    assert losses == sorted(losses) and len(losses) == 4
    real = {file.read_bytes() for file in (folder / "real").iterdir()}
    from PIL import Image

    pixels = {Image.open(file).tobytes() for file in (folder / "real").iterdir()}
    assert real and {Image.open(folder / "run" / record["file"]).tobytes() for record in records} <= pixels


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "method.real: has no default, give a value (method.real=...)"),
        (["method.real=gone"], "method.real=gone: there is no such folder"),
        (["method.real=empty"], "method.real=empty: holds 0 pictures; at least 1 are needed"),
        (["method.real=real", "samples=6"], "samples=6: method.real=real holds 5 pictures"),
        (["method.real=real", "near=0.5"], "near=0.5: the chosen method takes no near"),
        (["method.real=real", "question=raise"], "method=nearest: a value that is raised"),
    ],
)
def test_what_it_cannot_do_is_said_in_a_line(equidiff, folder, words, said):
    (folder / "empty").mkdir()
    done = equidiff("run", *SHORT, *words)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(f"equidiff: {said}"), done.stderr
