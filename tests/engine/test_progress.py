"""What a person sees of a run: lines off a terminal, a table on one; counts, and the time left."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from equidiff_cli.engine import progress as module
from equidiff_cli.engine.progress import EVERY_SECONDS, MOST_ROWS, Progress
from equidiff_cli.methods.events import Step


class Clock:
    """Stands in for the module `time`."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def make(monkeypatch):
    """A `Progress` and the text it writes."""

    def call(terminal=False, width=120, **options):
        text = io.StringIO()

        def console(stderr):
            assert stderr, "standard output belongs to the run directories"
            return Console(force_terminal=terminal, file=text, width=width, height=60, color_system=None, _environ={})

        monkeypatch.setattr(module, "Console", console)
        return Progress(**dict(samples=4, steps=50, threshold=1e-4) | options), text

    return call


def step(index, number, loss):
    n = len(index)
    return Step(list(index), [number] * n, loss, [0.0] * n, [0.0] * n, [0.0] * n, [0.0] * n)


def test_off_a_terminal_there_is_a_plain_line_now_and_then(make, clock):
    progress, text = make()
    with progress:
        for number in range(1, 41):
            clock.now += 1
            progress.take(step([0, 1], number, [2.0 / number, 1.0 / number]))
        progress.say("done [not markup] " + "x" * 200)
    *lines, last = text.getvalue().splitlines()
    assert len(lines) == 4, "how long it takes, then one in more than ten seconds"
    assert lines.pop(0) == "at most about 2 min for 4 samples (budget 50 steps), by the time of the first step"
    counts = "0 of 4 samples finished (2 running, 0 converged, 0 budget, 0 nonfinite)"
    assert lines[0] == f"{counts}, losses 9.09e-02 to 1.82e-01, at most 1:29 left"
    assert last == "done [not markup] " + "x" * 200, "lines are not wrapped"
    assert "\x1b" not in text.getvalue()


@pytest.mark.parametrize(
    ("samples", "seconds", "said"),
    [
        (4, 0.3, ""),  # 198 steps are left after the two that were taken, in 59.4 s
        (4, 0.4, "at most about 2 min for 4 samples (budget 50 steps)"),  # 79.2 s
        (404, 1.0, "at most about 5 h 37 min for 404 samples (budget 50 steps)"),
    ],
)
def test_a_long_run_says_at_its_first_step_how_long_it_takes_at_most(make, clock, samples, seconds, said):
    progress, text = make(samples=samples)
    clock.now += 500  # the spread was measured, which does not count
    with progress:
        clock.now += 2 * seconds
        progress.take(step([0, 1], 1, [1.0, 1.0]))
        first = text.getvalue()
        assert first.startswith(said) and len(first.splitlines()) == bool(said)
        progress.take(step([0, 1], 2, [1.0, 1.0]))
        assert text.getvalue() == first, "once"


def test_what_the_method_foretold_is_not_said_again(make, clock):
    progress, text = make(samples=404)
    progress.foretold = True
    with progress:
        clock.now += 9
        progress.take(step([0, 1], 1, [1.0, 1.0]))
    assert text.getvalue() == ""


def test_a_run_that_goes_on_says_how_long_the_rest_takes(make, clock):
    progress, text = make(samples=3, steps=100)
    progress.resume([{"index": 0, "status": "budget", "steps": 100, "loss": 0.1}])
    with progress:
        clock.now += 1
        progress.take(step([1], 41, [0.1]))
    assert text.getvalue().startswith("at most about 3 min for 2 samples (budget 100 steps)")  # 59 + 100 s


def test_chains_are_counted_in_moves_and_so_is_their_time(make, clock):
    progress, text = make(samples=3, steps=80, length=10)
    walked = [(1, [-1, -1]), (1, [0, -1]), (30, [1, 0]), (30, [2, 1]), (30, [3, 2])]
    with progress:
        for number, (seconds, moves) in enumerate(walked, start=1):
            clock.now += seconds
            progress.take(replace(step([0, 1], number, [1e-5, 1e-5]), moves=moves))
    first, *lines = text.getvalue().splitlines()
    assert first == "about 15 min for 3 chains of 10 moves, by the time of the first move"  # 29 moves of 30 s
    counts = "0 of 3 samples finished (2 running, 0 converged, 0 budget, 0 nonfinite)"
    assert lines == [
        f"{counts}, 0 to 1 of 10 moves, about 14:30 left",
        f"{counts}, 1 to 2 of 10 moves, about 9:00 left",  # 27 moves, three of which took 60 s
        f"{counts}, 2 to 3 of 10 moves, about 7:30 left",  # 25 moves, five of which took 90 s
    ]


def test_chains_that_go_on_are_timed_from_there(make, clock):
    progress, _ = make(samples=1, length=10)
    with progress:
        assert progress.left() == "looking for the set"
        clock.now += 5
        progress.take(replace(step([0], 20, [1e-5]), moves=[6]))
        assert progress.left() == "about 0:20 left"


def test_nothing_is_said_too_early(make, clock):
    progress, text = make(samples=1, steps=5)
    with progress:
        clock.now += EVERY_SECONDS
        progress.take(step([0], 1, [1.0]))
        assert text.getvalue() == ""
        clock.now += 0.1
        progress.take(step([0], 2, [1.0]))
    assert len(text.getvalue().splitlines()) == 1


def test_a_line_when_nothing_runs(make, clock):
    progress, text = make(samples=1)
    with progress:
        clock.now += 11
        progress.finished(0, "converged", 1, 1e-5)
        progress.take(step([0], 1, [1e-5]))
    expected = "1 of 1 samples finished (0 running, 1 converged, 0 budget, 0 nonfinite), about 0:00 left\n"
    assert text.getvalue() == expected


def test_counts_and_steps(make, clock):
    progress, _ = make(samples=6)
    progress.take(step([0, 1, 2, 3], 1, [1.0] * 4))
    for index, status in ((1, "converged"), (2, "nonfinite"), (3, "budget")):
        progress.finished(index, status, 2, 0.5)
    progress.take(step([0, 1, 2, 3], 2, [0.25] * 4))
    assert progress.counts() == "3 of 6 samples finished (1 running, 1 converged, 1 budget, 1 nonfinite)"
    assert progress.rows == {
        0: ("running", 2, 0.25),
        1: ("converged", 2, 0.5),
        2: ("nonfinite", 2, 0.5),
        3: ("budget", 2, 0.5),
    }
    assert progress.evaluations == 8


@pytest.mark.parametrize(
    ("seconds", "left"),
    [(0.0, "0:00"), (0.5, "0:49"), (0.61, "1:00"), (1.0, "1:38"), (6.0, "9:48"), (40.0, "65:20")],
)
def test_time_left_before_anything_finished_is_the_whole_budget(make, clock, seconds, left):
    progress, _ = make(samples=2)
    clock.now += 2 * seconds
    progress.take(step([0, 1], 1, [1.0, 1.0]))  # 2 of 2 * 50 evaluations
    assert progress.left() == f"at most {left} left"


def test_time_left_is_that_of_the_samples_in_work_and_those_that_wait(make, clock):
    progress, _ = make(samples=6, steps=50)
    for number in range(1, 11):
        clock.now += 2
        progress.take(step([0, 1], number, [1.0, 1.0]))  # one evaluation a second
    progress.finished(0, "converged", 10, 1e-5)
    assert progress.left() == "about 1:40 left"  # one of two has left in 20 steps: 20 for each of the 5
    progress.finished(1, "budget", 50, 0.5)
    assert progress.left() == "about 2:00 left"  # 30 each


def test_a_run_that_goes_on_counts_what_was_done(make, clock):
    done = [
        {"index": 0, "status": "converged", "steps": 10, "loss": 1e-5, "seed": 1},
        {"index": 1, "status": "nonfinite", "steps": 2, "loss": None, "seed": 1},  # a record has no not-a-number
    ]
    progress, text = make(terminal=True, samples=3)
    progress.resume(done)
    with progress:
        clock.now += 3
        progress.take(step([2], 3, [0.1]))
        assert progress.left() == "about 0:22 left", "15 steps in which two left, 3 s each"
    assert "2 of 3 samples finished (1 running, 1 converged," in text.getvalue()
    assert re.search(r"│ +1 │ nonfinite │ +2/50 │ +nan │ +│", text.getvalue())


def test_on_a_terminal_there_is_a_live_table(make, clock):
    progress, text = make(terminal=True)
    with progress:
        assert progress.live.is_started
        clock.now += 60
        progress.take(step([0, 1], 3, [0.5, 1e-2]))
        progress.finished(0, "converged", 3, 5e-5)
        progress.say("a word in between")
    assert not progress.live.is_started
    shown = text.getvalue()
    last = shown[shown.rindex("1 of 4 samples finished") :]
    assert "threshold 0.0001, about 9:00 left" in last  # 30 s each, 6 for each of the three
    assert re.search(r"│ +0 │ converged │ +3/50 │ 5\.00e-05 │ █{20} │", last)
    assert re.search(r"│ +1 │ running +│ +3/50 │ 1\.00e-02 │ █{10} +│", last)
    assert "a word in between" in shown and "\x1b" in shown


def test_the_table_closes_after_an_error(make):
    progress, _ = make(terminal=True)
    with pytest.raises(RuntimeError), progress:
        raise RuntimeError
    assert not progress.live.is_started


def test_of_many_samples_those_in_work_are_shown(make):
    progress, text = make(samples=100, terminal=True)
    with progress:
        progress.take(step(range(40), 1, [0.5] * 40))
        for index in range(30):
            progress.finished(index, "budget", 50, 0.3)
    last = text.getvalue()[text.getvalue().rindex("30 of 100 samples finished") :]
    shown = [int(number) for number in re.findall(r"│ +(\d+) │ (?:running|budget)", last)]
    assert shown == [*range(MOST_ROWS - 10), *range(30, 40)]
    assert "16 more not shown" in last


@pytest.mark.parametrize(
    ("threshold", "loss", "length"),
    [
        (1e-4, 1.0, 0),
        (1e-4, 5.0, 0),
        (1e-4, 1e-1, 5),
        (1e-4, 1e-2, 10),
        (1e-4, 1e-4, 20),
        (1e-4, 1e-9, 20),
        (1e-4, 0.0, 0),
        (1e-4, float("nan"), 0),
        (1e-4, float("inf"), 0),
        (1.0, 0.5, 0),
        (3.0, 0.5, 0),
    ],
)
def test_the_bar_is_logarithmic(make, threshold, loss, length):
    progress, _ = make(threshold=threshold)
    assert progress.bar(loss) == "█" * length
