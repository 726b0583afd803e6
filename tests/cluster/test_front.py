"""Runs handed to processes of this machine, and what the front makes of directories; no cluster is needed."""

import io
import json
import os
import shutil
import signal
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import pytest
from helpers.kills import contents

from equidiff_cli.api import open_run
from equidiff_cli.cluster import slurm
from equidiff_cli.cluster.front import chunks, front
from equidiff_cli.cluster.watch import Watch, samples
from equidiff_cli.errors import Failed, Stopped
from equidiff_cli.request.job import Task
from equidiff_cli.request.jobs import Wanted, asked
from equidiff_cli.runs import merge as merging
from equidiff_cli.runs.merge import parts_of
from equidiff_cli.runs.shards import settle, settled
from equidiff_cli.shipped import QUERIES

TINY = ["prior=embedded", "batch=2", "budget.steps=2", "prior.steps=2", "null_samples=4"]


def test_shards_become_the_run_that_one_process_makes(equidiff, tmp_path, monkeypatch):
    """With a merge that is killed half-way, and begins anew by the same command."""
    words = ["samples=5", *TINY]
    assert equidiff("run", "hydra.run.dir=alone", "pad=true", *words).returncode == 0
    for k in range(2):  # as jobs would
        place = [f"hydra.run.dir=S/0/shards/00{k}", "shards=2", "pad=true", f"shard={k}"]
        assert equidiff("run", *words, *place).returncode == 0
    assert [len((part / "samples.jsonl").read_text().splitlines()) for part in parts_of(tmp_path / "S/0")] == [2, 3]
    again = ["run", "cluster=joblib", "shards=2", "hydra.sweep.dir=S", *words]
    with monkeypatch.context() as patch:
        patch.setattr(merging, "sheet", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert equidiff(*again).returncode == 130
    done = equidiff(*again)
    assert (done.returncode, done.stdout) == (0, "S/0\n"), done.stderr
    assert contents(tmp_path / "S/0") == contents(tmp_path / "alone")
    assert not (tmp_path / "S/0/shards").exists()
    one, whole = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("alone", "S/0"))
    same = ("configuration", "counts", "on_file", "null_spread", "loss_scale", "warnings", "weights")
    assert {key: whole[key] for key in same} == {key: one[key] for key in same}
    overrides = [sorted(open_run(tmp_path / name).overrides) for name in ("alone", "S/0")]
    assert overrides[0] == overrides[1]  # the command without a cluster
    run = open_run(tmp_path / "S/0")
    assert run.finished and run.wanted == 5 and run.pictures.shape == (5, 32, 32, 3)
    assert len(run.latents["z"]) == 5 and sorted(run.losses) == [0, 1, 2, 3, 4]


def test_shards_that_differ_are_not_merged(make_run):
    whole = make_run.folder / "run"
    for k, cutoff in enumerate((0.5, 0.4)):
        make_run(f"run/shards/00{k}", **{"filter.cutoff": cutoff})
    with pytest.raises(ValueError, match=r"filter\.cutoff: 0\.4 in .*001, but 0\.5 in .*000; shards of one run must"):
        merging.merge(whole)
    assert len(parts_of(whole)) == 2 and not (whole / "summary.json").exists()


def test_the_first_shard_settles_for_all(tmp_path):
    shards = [tmp_path / "shards" / f"00{k}" for k in range(2)]
    for shard in shards:
        shard.mkdir(parents=True)
    assert settled(shards[0]) is None
    assert settle(shards[1], {"spread": 2.0}) == {"spread": 2.0}
    assert settle(shards[0], {"spread": 3.0}) == {"spread": 2.0} == settled(shards[0])
    assert settle(tmp_path, {"spread": 4.0}) == {"spread": 4.0} and settled(tmp_path) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shards=2"], "shards=2: needs jobs to share the samples; add cluster=joblib, slurm or ray"),
        (["cluster=joblib", "shards=9"], "shards=9: must be a whole number at least 1 and at most 8"),
        (["cluster=joblib", "seed=0,-1"], "seed=-1: must be a whole number at least 0"),
        (["cluster=joblib", "cluster.workers=0"], "cluster.workers=0: must be at least 1, or -1 for one a processor"),
        (["cluster=joblib", "hydra.run.dir=x"], "hydra.run.dir=x: runs of a cluster lie below hydra.sweep.dir"),
        (["cluster=joblib", "hydra.sweep.subdir=x", "seed=0,1"], "hydra.sweep.subdir=x: gives several runs the same"),
        (["cluster=slurm", "cluster.hours=0"], "cluster.hours=0: must be a number above 0"),
        (["cluster=slurm", "cluster.gpus=0.5"], "cluster.gpus=0.5: must be a whole number at least 0"),
        (["cluster=slurm", "cluster.wait=maybe"], "cluster.wait=maybe: must be true or false"),
        (["cluster=slurm", "cluster.setup=x"], "cluster.setup=x: must be a list of lines"),
        (["cluster=slurm", "+cluster.options.array=1-3"], "cluster.options.array=1-3: a job is one task on one node"),
        (["cluster=slurm", "cluster.nodes=2"], "cluster.nodes: no such key"),
        (["cluster=torque"], "cluster=torque: use one of joblib, none, ray, slurm"),
    ],
)
def test_what_cannot_be_asked(equidiff, tmp_path, words, said):
    done = equidiff("run", "prior=embedded", *words)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith(f"equidiff: {said}"), done.stderr
    assert len(done.stderr.splitlines()) == 1 and list(tmp_path.iterdir()) == []


def test_without_slurm_or_its_package(equidiff, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = equidiff("run", "prior=embedded", "cluster=slurm")
    assert done.returncode == 2 and done.stderr.startswith(
        "equidiff: cluster=slurm: there is no sbatch on this machine"
    )
    monkeypatch.setattr("equidiff_cli.request.cluster.find_spec", lambda name: None)
    done = equidiff("run", "prior=embedded", "cluster=slurm")
    assert done.returncode == 2 and "submitit is not installed; pip install 'equidiff[slurm]'" in done.stderr


def test_what_a_job_is_told(tmp_path, monkeypatch):
    """Everything but where it is done: a job decides for itself what prior=auto is, and runs elsewhere no more."""
    monkeypatch.chdir(tmp_path)
    (one,) = asked(["-m", "cluster=joblib", "seed=3", "shards=2", "hydra.sweep.dir=S"]).runs
    assert one.directory == tmp_path / "S/0" and one.shared and one.samples == 8
    assert [task.directory.name for task in one.tasks] == ["000", "001"]
    words = one.tasks[1].words
    assert words[:5] == ["seed=3", "cluster=none", "shards=2", "pad=true", "shard=1"]
    assert not [word for word in words if word.startswith(("prior", "cluster=joblib", "-m"))]
    assert asked(["cluster=joblib", "--cfg", "job"]) is None and asked(["seed=1"]) is None


def test_a_query_from_standard_input_is_read_once_and_kept_for_the_jobs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = (QUERIES / "cat.png").read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(picture)))
    found = asked(["cluster=joblib", "query=-", "seed=1,2", "prior=embedded", "hydra.sweep.dir=S"])
    assert not (tmp_path / "S").exists()
    found.prepare()
    kept = tmp_path / "S" / "query-piped"
    assert kept.read_bytes() == picture
    for run in found.runs:
        assert [word for word in run.tasks[0].words if word.startswith("query")] == [f'query="{kept}"']


def test_many_queries_in_jobs_of_several(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few").mkdir()
    for name in "abc":
        shutil.copy(QUERIES / "cat.png", tmp_path / "few" / f"{name}.png")
    (tmp_path / "few" / "queries.csv").write_text("file,objective.label\nb.png,dog\n")
    found = asked(["cluster=slurm", "cluster.chunk=2", "query=few", "hydra.sweep.dir=S", "samples=3", "prior=embedded"])
    assert [run.directory for run in found.runs] == [tmp_path / "S" / name for name in "abc"]
    words = [run.tasks[0].words for run in found.runs]
    assert [[word for word in one if word.startswith("query=")] for one in words] == [
        [f'query="few/{name}.png"'] for name in "abc"
    ]
    assert ["objective.label=dog" in one for one in words] == [False, True, False]
    tasks = [run.tasks[0] for run in found.runs]
    assert [len(chunk) for chunk in chunks(tasks, found.cluster["chunk"])] == [2, 1]
    found.prepare()
    assert len((tmp_path / "S" / "pictures.csv").read_text().splitlines()) == 4


def test_what_squeue_says(monkeypatch):
    def answer(code, out="", err=""):
        monkeypatch.setattr(slurm, "call", lambda *words, text=None: CompletedProcess(words, code, out, err))

    answer(0, "7_0|RUNNING|None\n7_1|PENDING|Resources\n7_2|PENDING|None\n8|RUNNING|None\n")
    assert slurm.queue({"7_0", "7_1", "7_2"}) == {"7_0": "running", "7_1": "Resources", "7_2": "starting"}
    answer(1, err="slurm_load_jobs error: Invalid job id specified")
    assert slurm.queue({"7_0"}) == {}
    answer(1, err="Unable to contact slurm controller")
    assert slurm.queue({"7_0"}) is None
    answer(0, "JobId=7 JobState=NODE_FAIL Reason=x ExitCode=0:0")
    assert slurm.ended("7") == slurm.Ended("NODE_FAIL", 0)
    answer(0, "CANCELLED by 0|0:15\n")
    assert slurm.ended("7") == slurm.Ended("CANCELLED", 143)
    answer(1)
    assert slurm.ended("7") == slurm.Ended(None, None)


def test_jobs_that_are_being_submitted_are_not_forgotten(tmp_path, monkeypatch):
    """A Ctrl-C meanwhile waits until it is written down which they are."""

    def submit(cluster, folder, jobs):
        os.kill(os.getpid(), signal.SIGINT)
        return [f"7_{k}" for k in range(len(jobs))]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "check", lambda *_: None)
    monkeypatch.setattr(slurm, "submit", submit)
    wanted = asked(["cluster=slurm", "seed=1,2", "prior=embedded", "hydra.sweep.dir=S"])
    with pytest.raises(Stopped, match=r"jobs go on, scancel 7 stops them; .* hydra\.sweep\.dir=S goes on"):
        front(wanted, print, print)
    assert json.loads((tmp_path / "S" / "jobs.json").read_text()) == {"0": "7_0", "1": "7_1"}


def test_finished_runs_are_named_though_slurm_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "queue", lambda ids: None)
    wanted = asked(["cluster=slurm", "seed=1,2", "prior=embedded", "hydra.sweep.dir=S"])
    wanted.prepare()
    (tmp_path / "S" / "jobs.json").write_text('{"0": "7_0", "1": "7_1"}')
    named = []
    for run in wanted.runs:
        with pytest.raises(Failed, match="Slurm does not answer"):
            front(wanted, named.append, print)
        run.directory.mkdir()
        (run.directory / "summary.json").write_text("{}")
    assert front(wanted, named.append, print) == [] and named == [tmp_path / "S/0", tmp_path / "S/1"]


def test_how_far_runs_have_come(tmp_path, capsys):
    tasks = [Task(tmp_path / name, []) for name in ("a", "b")]
    for task, count in zip(tasks, (2, 1), strict=True):
        task.directory.mkdir()
        (task.directory / "samples.jsonl").write_text("{}\n" * count)
    run = Wanted(tmp_path, 8, tasks)
    assert samples(run) == 3
    Watch([run]).see("jobs: 1 running, 2 queued (Priority)")
    assert capsys.readouterr().err == "jobs: 1 running, 2 queued (Priority); 3 of 8 samples finished\n"
    (tmp_path / "summary.json").write_text("{}")
    assert samples(run) == 8


def test_a_failure_names_the_run_and_why_and_standard_output_the_others(equidiff, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def good(target, query):\n    return lambda x: x.mean((2, 3))\n"
        "def bad(target, query):\n    raise RuntimeError('broken on purpose')\n"
    )
    words = ["objective=function", "objective._target_=mine.bad,mine.good", "samples=1", *TINY]
    done = equidiff("run", "cluster=joblib", "cluster.chunk=2", "hydra.sweep.dir=S", *words)
    assert (done.returncode, done.stdout) == (2, "S/1\n"), done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("equidiff: S/0: ")]
    assert len(said) == 1 and "broken on purpose" in said[0]
    shutil.rmtree(tmp_path / "S" / "0")
    assert Path(tmp_path / "S" / "multirun.yaml").exists()
