"""Words of the command line -> run directories: what counts as a run, sweeps, and names of every kind."""

import pytest

from equidiff_cli.request.words import split
from equidiff_cli.runs.names import find, is_run


def begun(path, mark="samples.jsonl"):
    path.mkdir(parents=True)
    (path / mark).touch()
    return path


def test_words_are_runs_unless_they_are_options_or_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    (tmp_path / "-").mkdir()
    arguments = ["one", "format=png", "--config-dir", "here", "a=b", "-", "two", "-m", 'it\'s "${x}" <script>']
    words = ["one", "a=b", "-", "two", 'it\'s "${x}" <script>']
    assert split(arguments) == (words, ["format=png", "--config-dir", "here", "-m"])


@pytest.mark.parametrize("mark", ["samples.jsonl", "summary.json", ".state"])
def test_a_run_is_known_by_what_it_writes_first_and_last(tmp_path, mark):
    assert is_run(begun(tmp_path / "run", mark))
    (tmp_path / "other").mkdir()
    assert not is_run(tmp_path / "other")


def test_a_sweep_stands_for_its_jobs_in_the_order_of_numbers(tmp_path):
    for job in (0, 2, 10, 1):
        begun(tmp_path / "sweep" / str(job))
    (tmp_path / "sweep" / "3" / ".hydra").mkdir(parents=True)  # it failed before it wrote anything
    begun(tmp_path / "sweep" / "notes")
    (tmp_path / "sweep" / "4").mkdir()
    assert [path.name for path in find([tmp_path / "sweep"])] == ["0", "1", "2", "3", "10"]


def test_a_sweep_may_give_its_folders_names(tmp_path):
    sweep = tmp_path / "sweep"
    for job in ("lr=10.5", "lr=2", "lr=10.05", "a/seed=1", "a/seed=0"):
        begun(sweep / job)
    (sweep / "lr=3" / ".hydra").mkdir(parents=True)  # it failed before it wrote anything
    begun(sweep / "lr=2" / "samples" / "0")  # inside a run, none of its own
    (sweep / "notes").mkdir()
    with pytest.raises(ValueError, match=r"neither a run .*; there are runs in it, such as .*lr=10.05"):
        find([sweep])
    (sweep / "multirun.yaml").touch()
    found = [path.relative_to(sweep).as_posix() for path in find([sweep])]
    assert found == ["a/seed=0", "a/seed=1", "lr=2", "lr=3", "lr=10.05", "lr=10.5"]


def test_a_run_is_taken_once_however_often_it_is_named(tmp_path):
    sweep = [begun(tmp_path / str(job)) for job in range(3)]
    assert find([sweep[1], tmp_path, sweep[1] / ".." / "1"]) == [sweep[1], sweep[0], sweep[2]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such directory"),
        (lambda path: path.write_text(""), "is a file"),
        (lambda path: path.mkdir(), "neither a run (no summary.json or samples.jsonl in it) nor a sweep"),
    ],
)
def test_what_is_no_run_is_refused_by_name(tmp_path, make, message):
    make(tmp_path / "word")
    with pytest.raises(ValueError) as error:
        find([str(tmp_path / "word")])
    assert message in str(error.value) and str(error.value).startswith(f"{tmp_path / 'word'}: ")
    with pytest.raises(ValueError, match="no run given"):
        find([])
