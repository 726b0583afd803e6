"""The output directory: what a refused request leaves of it, and what is recorded in it."""

import errno
import io
import signal
from types import SimpleNamespace

import pytest
import yaml

from equidiff_cli import cli
from equidiff_cli.commands import run
from equidiff_cli.errors import Failed, Terminated, WrongRequest
from equidiff_cli.request.launch import Job
from equidiff_cli.request.schema import composed
from equidiff_cli.shipped import QUERIES

QUICK = ("samples=1", "budget.steps=2", "prior.steps=1", "null_samples=4")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def job(directory, sweep=None):
    return Job(composed("prior=embedded"), directory=directory, sweep=sweep, words=[], note=None, refused=None)


@pytest.mark.parametrize("kept", ["samples/mine.txt", "run.log", ".hydra/config.yaml", "query.png"])
def test_a_refused_request_leaves_what_was_there(equidiff, tmp_path, kept):
    file = tmp_path / "project" / kept
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    done = equidiff("run", *QUICK, "hydra.run.dir=project", "query=nothing.png")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert contents(tmp_path / "project") == {file.relative_to(tmp_path / "project"): b"mine"}


def test_a_refused_request_leaves_no_directory_behind_but_the_current_one(equidiff, tmp_path):
    for place in ("new/a/b", "."):
        assert equidiff("run", *QUICK, f"hydra.run.dir={place}", "query=nothing.png").returncode == 2
        assert tmp_path.is_dir() and not list(tmp_path.iterdir())


def test_a_process_that_comes_second_leaves_the_first_ones_directory(tmp_path, monkeypatch):
    def other_process(config, directory, words):
        (directory / ".state").mkdir()  # while this one was still loading
        (directory / "run.log").write_text("theirs")
        raise ValueError("another process is working in this directory")

    monkeypatch.setattr(run, "prepare", other_process)
    with pytest.raises(WrongRequest, match="another process"):
        cli.do("run", job(tmp_path), [])
    assert {path.name for path in tmp_path.iterdir()} == {".state", "run.log"}


def test_a_disk_that_is_full_when_the_record_is_written_is_no_wrong_request(tmp_path, monkeypatch):
    def full(record):
        raise OSError(errno.ENOSPC, "No space left on device", "config.yaml")

    monkeypatch.setattr(run, "prepare", lambda config, directory, words: pytest.fail)
    monkeypatch.setattr("equidiff_cli.request.record.Record.write", full)
    with pytest.raises(Failed, match=r"^config\.yaml: No space left on device"):
        cli.do("run", job(tmp_path), [])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated])
@pytest.mark.parametrize("sweep", ["day", None])
def test_a_run_that_is_stopped_while_it_loads_leaves_nothing(tmp_path, monkeypatch, stop, sweep):
    def stopped(config, directory, words):
        raise stop

    monkeypatch.setattr(run, "prepare", stopped)
    (tmp_path / "day/run").mkdir(parents=True)
    with pytest.raises(stop):
        cli.do("run", job(tmp_path / "day/run", sweep), [])
    assert not (tmp_path / "day").exists()


def test_the_record_says_what_was_asked(equidiff, tmp_path):
    assert equidiff("run", *QUICK, "filter=ideal", "hydra.run.dir=done").returncode == 0
    config, hydra, overrides = (
        yaml.safe_load((tmp_path / "done/.hydra" / f"{name}.yaml").read_text())
        for name in ("config", "hydra", "overrides")
    )
    assert overrides == [*QUICK, "filter=ideal"]
    assert config["samples"] == 1 and config["filter"]["_target_"].endswith("Ideal") and "hydra" not in config
    assert hydra["hydra"]["runtime"]["choices"]["filter"] == "ideal"
    assert hydra["hydra"]["runtime"]["output_dir"] == str(tmp_path / "done")


def test_a_sweep_keeps_the_record_of_its_runs_and_of_refused_jobs(equidiff, tmp_path):
    asked = ("run", "-m", *QUICK, "hydra.sweep.dir=sweep")
    assert equidiff(*asked, "objective.label=cat,nothing").returncode == 2
    before = contents(tmp_path / "sweep/0")
    recorded = yaml.safe_load((tmp_path / "sweep/1/.hydra/overrides.yaml").read_text())
    assert "objective.label=nothing" in recorded, "report counts jobs that left no run"
    refused = equidiff(*asked, "objective.label=dog")
    assert refused.returncode == 2 and "was begun with cat" in refused.stderr
    after = contents(tmp_path / "sweep/0")
    assert {path: after[path] for path in before} == before, "only a line in the log is new"


def test_a_request_that_is_refused_late_may_be_corrected(equidiff, tmp_path):
    """The spread of an objective is known only when samples are drawn."""
    (tmp_path / "mine.py").write_text("def zero(target, query):\n    return lambda x: x[:, :1, 0, 0] * 0\n")
    own = ("objective=function", "objective._target_=mine.zero", *QUICK)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").touch()
    for place in (["-m", "seed=1", "hydra.sweep.dir=sweep"], ["hydra.run.dir=notes"]):
        refused = equidiff("run", *place, *own)
        assert refused.returncode == 2 and "give a number" in refused.stderr
        done = equidiff("run", *place, *own, "loss_scale=1")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "notes/mine.txt").exists()


def test_a_link_to_an_empty_folder_stays(equidiff, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    done = equidiff("run", *QUICK, "hydra.run.dir=link", "query=nothing.png")
    assert done.returncode == 2 and done.stderr.startswith("equidiff: query=nothing.png: ")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder").is_dir()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_stopped_while_a_job_loads_says_how_it_goes_on(equidiff, tmp_path, number):
    (tmp_path / "mine.py").write_text(f"import os\ndef build(target, query):\n    os.kill(os.getpid(), {number})\n")
    own = ("objective=function", "objective._target_=mine.build", *QUICK)
    done = equidiff("run", "-m", "seed=1", "hydra.sweep.dir=sweep", *own)
    assert done.returncode == 128 + number
    assert done.stderr.splitlines()[-1].endswith("; the same command with hydra.sweep.dir=sweep goes on")


def test_a_stopped_sweep_says_how_it_goes_on(equidiff, stopped, tmp_path):
    arguments = ["run", "-m", "samples=20", *QUICK[1:], "seed=1,2", "hydra.sweep.dir=sweep"]
    code, _, err = stopped(*arguments, file="sweep/0/losses.csv", number=signal.SIGTERM)
    assert code == 143 and "the same command with hydra.sweep.dir=sweep goes on" in err
    assert not (tmp_path / "sweep/1").exists()
    done = equidiff(*arguments)
    assert done.returncode == 0 and done.stdout.splitlines() == ["sweep/0", "sweep/1"], done.stderr


def test_a_piped_query_is_there_for_every_job(equidiff, monkeypatch):
    """Standard input can be read once alone; a process of its own reads it in `tests/test_cli.py`."""
    piped = io.BytesIO((QUERIES / "cat.png").read_bytes())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=piped))
    done = equidiff("run", "-m", *QUICK, "query=-", "seed=1,2")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, done.stderr
