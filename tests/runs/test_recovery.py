"""A run that is stopped by whatever stops runs, and started again, ends with the files of a run that was left alone."""

import csv
import errno
import gc
import json
import os
import signal

import pytest
import torch
from helpers import kills
from PIL import Image

from equidiff_cli.commands.run import prepare
from equidiff_cli.engine.plan import Plan
from equidiff_cli.errors import Exhausted, Interrupted
from equidiff_cli.methods.events import Finished, Step
from equidiff_cli.prior.prior import Prior
from equidiff_cli.request.schema import composed
from equidiff_cli.runs import state, writer

SHORT = (
    *("prior=embedded", "device=cpu", "checkpoint=all", "prior.steps=1"),
    *("samples=3", "batch=2", "budget.steps=2", "null_samples=4"),
)
KILLS = int(os.environ.get("EQUIDIFF_KILLS", 2))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks as small as these are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(directory, *overrides):
    """The run command in this process, without what surrounds it."""
    prepare(composed(*SHORT, *overrides), directory)()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The files of a run that was left alone."""
    directory = tmp_path_factory.mktemp("alone") / "run"
    run(directory)
    return kills.contents(directory)


def at_call(k, function, act):
    """`function`, but call number `k` (from 0), and every later one, acts first."""
    calls = iter(range(10**6))
    return lambda *args, **options: (next(calls) >= k and act()) or function(*args, **options)


def full_disk():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")


def no_memory():
    raise torch.OutOfMemoryError("out of memory")


def interrupt():
    raise KeyboardInterrupt


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


STOPS = {  # what: (where, its name there, at which of its calls, what happens, what the run ends with)
    "disk full at the first state": (os, "fsync", 4, full_disk, OSError),
    "disk full at the first lines": (writer, "append", 0, full_disk, OSError),
    "disk full between two records": (writer, "append", 2, full_disk, OSError),
    "disk full at a picture": (Image.Image, "save", 2, full_disk, OSError),
    "disk full at an unguided picture": (writer.RunDir, "save_unguided", 1, full_disk, OSError),
    "disk full at the end": (writer.RunDir, "close", 0, full_disk, OSError),
    "no memory for the spread": (Prior, "flow", 1, no_memory, Exhausted),
    "no memory in the second step": (Prior, "flow", 3, no_memory, Exhausted),
    "terminated in the first step": (Prior, "decode", 2, terminate, Interrupted),
    "terminated in the third step": (Prior, "decode", 4, terminate, Interrupted),
}


@pytest.mark.parametrize("stop", STOPS)
def test_a_run_goes_on_after(stop, expected, monkeypatch, tmp_path):
    owner, name, k, act, error = STOPS[stop]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, at_call(k, getattr(owner, name), act))
        with pytest.raises(error):
            run(tmp_path / "run")
    assert not (tmp_path / "run" / "summary.json").exists()
    gc.collect()  # the lock is released with what held it, as it would be with the process
    run(tmp_path / "run")
    assert kills.contents(tmp_path / "run") == expected


def test_the_unguided_pictures_are_those_of_the_first_step(tmp_path):
    run(tmp_path / "run", "budget.steps=1")
    found = kills.contents(tmp_path / "run")
    for name in ("000.png", "001.png", "002.png"):
        assert found[f"unguided/{name}"] == found[f"samples/{name}"]
    assert len({found[f"unguided/{i:03d}.png"] for i in range(3)}) == 3


def test_memory_that_runs_out_once_is_recorded_and_changes_no_file(expected, monkeypatch, tmp_path):
    flow, calls = Prior.flow, []

    def once(self, z, *adjoint):
        calls.append(len(z))
        if len(calls) == 5:
            no_memory()
        return flow(self, z, *adjoint)

    monkeypatch.setattr(Prior, "flow", once)
    run(tmp_path / "run", "checkpoint=none")
    found = kills.contents(tmp_path / "run")
    assert found == expected
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["memory"] == "batch=2, 1 of 1 solver steps recomputed"


def test_what_was_settled_is_kept_when_a_run_goes_on(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(Prior, "flow", at_call(3, Prior.flow, no_memory))
        with pytest.raises(Exhausted):
            run(tmp_path / "run", "batch=auto", "checkpoint=auto")
    gc.collect()
    monkeypatch.setattr("equidiff_cli.runs.state.settled", None)
    run(tmp_path / "run", "batch=auto", "checkpoint=auto")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["memory"].startswith("batch=3, 0 of 1")


def test_a_run_goes_on_within_less_memory_than_it_began_with(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(Prior, "flow", at_call(3, Prior.flow, interrupt))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", "checkpoint=none")
    gc.collect()
    run(tmp_path / "run", "batch=1", "checkpoint=all")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["memory"] == "batch=1, 1 of 1 solver steps recomputed"


def test_a_run_goes_on_with_more_at_once_than_it_began_with(monkeypatch, tmp_path):
    flow, sizes = Prior.flow, []
    with monkeypatch.context() as patch:
        patch.setattr(Prior, "flow", at_call(5, flow, interrupt))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", "batch=1", "samples=4")
    gc.collect()
    monkeypatch.setattr(Prior, "flow", lambda self, z, *adjoint: sizes.append(len(z)) or flow(self, z, *adjoint))
    run(tmp_path / "run", "batch=3", "samples=4")
    assert max(sizes) == 3


def test_a_signal_while_the_last_files_are_written_loses_nothing(expected, monkeypatch, tmp_path):
    monkeypatch.setattr(writer.RunDir, "save_grid", at_call(0, writer.RunDir.save_grid, terminate))
    with pytest.raises(Interrupted):
        run(tmp_path / "run")
    assert kills.contents(tmp_path / "run") == expected


def test_a_truncated_gradient_is_another_gradient_of_the_same_pictures(tmp_path):
    def rows(*overrides):
        directory = tmp_path / str(len(overrides))
        run(directory, "prior.steps=2", *overrides)
        return [row for row in csv.DictReader((directory / "losses.csv").open()) if row["step"] == "1"]

    for full, truncated in zip(rows(), rows("gradient_steps=1"), strict=True):
        assert full.pop("grad_norm") != truncated.pop("grad_norm")
        assert full == truncated


def test_kills_at_random_moments(tmp_path):
    """EQUIDIFF_KILLS=20 for more of them."""
    met, differing = kills.compare(kills.SHORT, KILLS, tmp_path, seed=1)
    assert met and not differing


class Clock:
    """Stands for `time`: saving takes `cost` seconds, nothing else takes any."""

    def __init__(self, monkeypatch, cost):
        self.now, self.cost, self.saves = 0.0, cost, []
        monkeypatch.setattr(state.time, "monotonic", lambda: self.now)

    def save_state(self, tensors, facts):
        self.now += self.cost
        self.saves.append(self.now)


class Part:
    """What `State` needs of the slots and of the memory."""

    def __init__(self, plan):
        self.plan = plan

    def save(self):
        return {}, {}


def stepped(saver, left=False):
    """One step, in which a sample left or not."""
    if left:
        saver.take(Finished(0, "budget", 1, 1, 0.0, {}))
    saver.take(Step([], [], [], [], [], [], []))


@pytest.mark.parametrize("cost", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("every", [1, 7, 1000])
def test_saving_takes_at_most_two_percent_of_the_time(monkeypatch, cost, every):
    clock, part = Clock(monkeypatch, cost), Part(Plan(1, 1, 1))
    saver = state.State(clock, part, part, asked=None, target=[0.0], spread=1.0, began=0.0)
    for step in range(1, 2000):
        clock.now += 0.3
        stepped(saver, left=step % every == 0)
    gaps = [b - a for a, b in zip(clock.saves, clock.saves[1:], strict=False)]
    assert cost * len(gaps) <= 0.02 * sum(gaps) and max(gaps) < max(10, 50 * cost) + cost + 0.7
    if every == 1 and cost == 0.001:
        assert len(clock.saves) == 2000, "a sample that left is saved at once where that is cheap"


def test_a_new_plan_is_saved_at_once(monkeypatch):
    clock, part = Clock(monkeypatch, 0.001), Part(Plan(4, 1, 0))
    saver = state.State(clock, part, part, asked=None, target=[0.0], spread=1.0, began=0.0)
    clock.now += 1
    stepped(saver)
    assert len(clock.saves) == 1
    part.plan = part.plan.lighter()
    stepped(saver)
    assert len(clock.saves) == 2


def test_a_save_that_had_to_wait_is_not_forgotten(monkeypatch):
    clock, part = Clock(monkeypatch, 0.01), Part(Plan(1, 1, 1))
    saver = state.State(clock, part, part, asked=None, target=[0.0], spread=1.0, began=0.0)
    clock.now += 0.3
    stepped(saver, left=True)  # too soon after the first one
    assert len(clock.saves) == 1
    clock.now += 0.3
    stepped(saver)
    assert len(clock.saves) == 2
