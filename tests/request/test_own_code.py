"""Parts of a user's own: what works in place draws the same as what does not, and a network that was exchanged while a
run was stopped, or before it is evaluated, is noticed.
"""

import json
import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from equidiff_cli import api
from equidiff_cli.study import cache
from equidiff_cli.study.models import Models

TINY = ("prior=embedded", "samples=2", "batch=2", "budget.steps=3", "prior.steps=2", "null_samples=4")
PARTS = """
import torch
from equidiff_cli.parts.filters import Gaussian
from equidiff_cli.parts.questions import Invariance

class Objective:
    def __init__(self, target, query, place):
        self.target, self.place, self.query = target, place, query
    def __call__(self, x):
        x = x.sub_(0.5).mul_(2) if self.place else (x - 0.5) * 2
        return self.target(x.add_(1).div_(2) if self.place else (x + 1) / 2)[:, :1]

class Filter(Gaussian):
    def __init__(self, place):
        super().__init__(0.5)
        self.place = place
    def __call__(self, x):
        return super().__call__(x.sub_(0.1) if self.place else x - 0.1)

class Distance:
    def __init__(self, place):
        self.place = place
    def __call__(self, values, target):
        values = values.sub_(target) if self.place else values - target
        if self.place:
            target.zero_()
        return values.square().sum(1)

class Question(Invariance):
    def __init__(self, objective, distance, lowpass, query, place):
        super().__init__(objective, distance, lowpass, query)
        self.place = place
        if place:
            query.zero_()
    def __call__(self, x):
        return super().__call__(x.add_(0.01) if self.place else x + 0.01)

class Optimizer:
    def __init__(self, place, **of_sgd):
        self.place = place
    def init(self, z):
        return {"mean": z.zero_() if self.place else torch.zeros_like(z)}
    @torch.no_grad()
    def step(self, z, grad, state):
        if self.place:
            mean = state["mean"].mul_(0.5).add_(grad)
            return z.sub_(mean.mul(0.1)), {"mean": mean}
        mean = 0.5 * state["mean"] + grad
        return z - 0.1 * mean, {"mean": mean}
"""


class InPlace(nn.Module):
    def __init__(self, place):
        super().__init__()
        torch.manual_seed(0)
        self.place, self.net = place, nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(1800, 3))

    def forward(self, x):
        return self.net(x.sub_(0.5).div_(0.25) if self.place else (x - 0.5) / 0.25)


@pytest.fixture
def parts(tmp_path, monkeypatch):
    (tmp_path / "parts_of_mine.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)


def test_what_works_in_place_draws_the_same(parts):
    """Every part of one's own at once."""

    def drawn(place):
        words = [f"+{group}.place={place}" for group in ("objective", "filter", "distance", "question", "optimizer")]
        kinds = [f"{word[1:].split('.')[0]}._target_=parts_of_mine.{word[1:].split('.')[0].title()}" for word in words]
        bare = ("objective=function", "filter=none", "optimizer=sgd")
        made = api.build(*TINY, *bare, *words, *kinds, target=InPlace(place))
        return made, [event for event in api.draw(made) if isinstance(event, api.Finished)]

    (pure, expected), (impure, found) = drawn(False), drawn(True)
    assert torch.equal(pure.picture, impure.picture) and torch.equal(pure.question.target, impure.question.target)
    assert pure.identity["query (SHA-256 of its pixels)"] == impure.identity["query (SHA-256 of its pixels)"]
    assert pure.question.scale == pytest.approx(impure.question.scale)
    assert [event.index for event in found] == [event.index for event in expected] != []
    for one, other in zip(found, expected, strict=True):
        for name, value in other.best.items():
            torch.testing.assert_close(one.best[name], value, msg=name)


MINE = '''
import os
import torch
from torch import nn
from equidiff_cli.parts.optimizers import SGD

def net(file):
    made = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(256, 3))
    made.load_state_dict(torch.load(file))
    return made

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net("net.pth")
    def forward(self, x):
        return self.net(x)

def objective(target, query):
    judge = net("judge.pth")
    return lambda x: target(x)[:, :1] + judge(x)[:, 1:2]

class Stops(SGD):
    """Fails while there is a file `stop`, after a step."""
    steps = 0
    def step(self, z, grad, state):
        self.steps += 1
        if os.path.exists("stop") and self.steps > 1:
            raise RuntimeError("stopped")
        return super().step(z, grad, state)
'''
OWN = ("target=function", "target._target_=mine.Net", "objective=function", "objective._target_=mine.objective")
OWN += ("optimizer=sgd", "optimizer._target_=mine.Stops")


def test_an_exchanged_network_is_refused(equidiff, tmp_path, monkeypatch):
    monkeypatch.setattr(cache.constants, "HF_HOME", str(tmp_path / "home"))

    def weights(name, seed):
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(256, 3))
        torch.save(made.state_dict(), tmp_path / f"{name}.pth")

    def code(change=""):
        (tmp_path / "mine.py").write_text(MINE.replace("judge(x)[:, 1:2]", f"judge(x)[:, 1:2]{change}"))

    def run():
        return equidiff("run", *TINY, *OWN, "hydra.run.dir=out")

    def evaluate():
        return equidiff("evaluate", "out", "null_samples=16", "likelihood=0")

    def refused(done, *words):
        assert done.returncode == 2 and done.stdout == "", done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("equidiff:")]
        assert all(word in line for word in words), line

    code(), weights("net", 0), weights("judge", 1)
    (tmp_path / "stop").touch()
    assert run().returncode == 1
    state = (tmp_path / "out" / ".state" / "state.safetensors").read_bytes()
    (tmp_path / "stop").unlink()
    weights("net", 2)
    refused(run(), "weights (SHA-256)", "target/Net", "begun with")
    weights("net", 0), weights("judge", 2)
    refused(run(), "weights (SHA-256)", "objective/Sequential (judge)", "begun with")
    weights("judge", 1), code(" + 1.25")
    refused(run(), "out: the run was begun with ", " as the value of the query, which is ", "hydra.run.dir")
    assert (tmp_path / "out" / ".state" / "state.safetensors").read_bytes() == state
    code()
    assert run().returncode == 0
    records = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert len(records) == 2 and len({record["target"] for record in records}) == 1
    code(" + 1.25")
    done = evaluate()
    refused(done, "out: the objective of samples/00", "null spreads off: too much for rounding")
    new, old = map(float, re.search(r" is (\S+), but the run recorded (\S+), ", done.stderr).groups())
    assert new == pytest.approx(old + 1.25, abs=1e-4)
    assert any(old == pytest.approx(record["objective_saved"], abs=1e-4) for record in records)
    code(), weights("judge", 2)
    refused(evaluate(), "out: objective/Sequential (judge) has SHA-256")
    weights("judge", 1), weights("net", 2)
    refused(evaluate(), "out: target/Net has SHA-256")
    weights("net", 0)
    done = evaluate()
    assert (done.returncode, done.stdout) == (0, "out\n"), done.stderr


def test_a_network_of_another_kind_is_another_network():
    run = SimpleNamespace(path="out", weights={"target/Net": "a", "objective/Net (judge)": "b", "prior/flow": "c"})
    same = Models(None, None).same
    same(run, {"target/Net": "a"}, "target")
    same(run, {"objective/Net (judge)": "b"}, "objective", "filter")
    same(SimpleNamespace(path="out", weights={}), {"target/Net": "a"}, "target")  # of a version that recorded none
    for found, message in (
        ({"target/Net": "b"}, "target/Net has SHA-256 b now, the run was made with a"),
        ({"target/Other": "a"}, "was made with target/Net, here is target/Other"),
        ({}, "was made with target/Net, here is none"),
    ):
        with pytest.raises(ValueError, match=f"^out: {message}"):
            same(run, found, "target")
