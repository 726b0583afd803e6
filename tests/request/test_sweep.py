"""Sweeps that would run nothing, and what may not be set of Hydra itself."""

import pytest

from equidiff_cli.request.sweep import empty_sweep

EMPTY = {
    "query=glob(*)": "query=glob(*): glob chooses among the options of a group, and query is none; list pictures",
    "query=glob(*.png)": "query=glob(*.png): glob chooses among",
    "filter.cutoff=glob(*)": "filter.cutoff=glob(*): glob chooses among the options of a group, and filter.cutoff is",
    "filter=glob(x*)": "filter=glob(x*): matches no option; use one of butterworth, gaussian, ideal, none",
    "filter=glob(*,exclude=*)": "filter=glob(*,exclude=*): matches no option",
    "seed=range(0,0)": "seed=range(0,0): gives no value, so nothing would run",
    "seed=range(3,1)": "seed=range(3,1): gives no value",
    "seed=range(0,3,-1)": "seed=range(0,3,-1): gives no value",
    "seed=range(0,3,0)": "seed=range(0,3,0): gives no value",
    "filter.cutoff=range(1.0,0.5)": "filter.cutoff=range(1.0,0.5): gives no value",
    "filter.cutoff=interval(0,1)": "filter.cutoff=interval(0,1): an interval has no single values",
    "seed=shuffle()": "seed=shuffle(): gives no value",
}
SOME = ["seed=1,2", "seed=choice(1)", "seed=range(3)", "seed=range(3,1,-1)", "filter=glob(g*)", "seed=shuffle(1,2)"]


@pytest.mark.parametrize("word", EMPTY)
def test_a_sweep_over_nothing_is_refused(word):
    assert empty_sweep(["-m", "samples=2", word]).startswith(EMPTY[word])


@pytest.mark.parametrize("word", [*SOME, "seed=1", "query=a b.png", "filter.cutoff=0.5", "not understood", "seed=a'b"])
def test_a_sweep_over_something_is_not(word):
    assert empty_sweep(["-m", word]) is None


def test_options_of_ones_own_count(tmp_path):
    (tmp_path / "filter").mkdir()
    (tmp_path / "filter" / "xylo.yaml").write_text("_target_: a.b\n")
    assert empty_sweep(["--config-dir", str(tmp_path), "filter=glob(x*)"]) is None
    assert empty_sweep([f"--config-dir={tmp_path}", "filter=glob(x*)"]) is None
    assert empty_sweep(["hydra.searchpath=[file:///somewhere]", "filter=glob(x*)"]) is None


@pytest.mark.parametrize("words", [["-m", "query=glob(*)"], ["-m", "seed=range(0,0)"], ["-m", "seed=choice()"]])
def test_nothing_runs_and_nothing_is_left(equidiff, tmp_path, words):
    done = equidiff("run", *words)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra.job.chdir=true", "equidiff: hydra.job.chdir=true: paths are those of the directory the command was"),
        ("+hydra.rum=1", "equidiff: hydra.rum: no such key; "),
        ("+hydra.run.dri=1", "equidiff: hydra.run.dri: no such key; use one of hydra.run.dir"),
        ("++hydra.job.env=1", "equidiff: hydra.job.env: no such key; "),
    ],
)
def test_settings_of_hydra_that_are_refused(equidiff, tmp_path, word, said):
    done = equidiff("run", word)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith(said), done.stderr
    assert len(done.stderr.splitlines()) == 1 and list(tmp_path.iterdir()) == []
