"""The run directory: whole files, whole lines, one process, one configuration, and a state that can be taken up."""

import contextlib
import csv
import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from equidiff_cli import files
from equidiff_cli.files import append, finite, whole
from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.runs.writer import LOSS_COLUMNS, RunDir

FACTS = {"query": "cat", "samples": 3, "budget.steps": 5, "filter.cutoff": None, "optimizer.betas": [0.9, 0.99]}
NAN, INF = float("nan"), float("inf")
PICTURES = Pictures()


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "deep" / "run", PICTURES)
    run.open(FACTS)
    return run


@contextlib.contextmanager
def full_disk(size):
    """Files cannot grow beyond `size` bytes in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def latents(index):
    generator = torch.Generator().manual_seed(index)
    return torch.randn(2, 4, 3, 3, generator=generator)


def picture(index=0, side=32):
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(index))


def finish(run, index, status="converged", loss=0.5):
    """Write all that is written of one sample."""
    _, file = run.save_picture(index, picture(index), *latents(index))
    run.save_record({"index": index, "status": status, "loss": loss, "file": file})


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def test_whole_replaces_the_file_only_at_the_end(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with whole(path) as beside:
        assert beside.parent == path.parent and beside.suffix == ".json"
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and names(tmp_path) == ["a.json"]


def test_whole_is_on_the_disk_before_it_is_there(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(files, "flush", lambda path: flushed.append((path, (tmp_path / "a.json").exists())))
    with whole(tmp_path / "a.json") as beside:
        beside.write_text("new")
    assert flushed == [(beside, False), (tmp_path, True)]


def test_two_processes_write_one_file_each_whole(tmp_path, monkeypatch):
    with whole(tmp_path / "a.json") as mine:
        mine.write_text("mine")
        monkeypatch.setattr(files.os, "getpid", lambda: 1)
        with whole(tmp_path / "a.json") as theirs:
            theirs.write_text("theirs")
        assert (tmp_path / "a.json").read_text() == "theirs"
    assert (tmp_path / "a.json").read_text() == "mine" and names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [None, "old"])
def test_an_error_inside_whole_leaves_what_was_there(tmp_path, error, before):
    path = tmp_path / "a.json"
    if before:
        path.write_text(before)
    with pytest.raises(error), whole(path) as beside:
        beside.write_text("half")
        raise error
    assert names(tmp_path) == (["a.json"] if before else [])
    assert not before or path.read_text() == before


def test_append_writes_whole_lines_at_once(tmp_path, monkeypatch):
    calls, write = [], os.write
    monkeypatch.setattr(os, "write", lambda file, data: calls.append(data) or write(file, data))
    for text in ("a\n", "b\nc\n", "ü\n"):
        append(tmp_path / "log", text)
    assert calls == [b"a\n", b"b\nc\n", "ü\n".encode()]
    assert (tmp_path / "log").read_bytes() == "a\nb\nc\nü\n".encode()


def test_a_full_disk_leaves_no_half_line(tmp_path):
    log = tmp_path / "log"
    append(log, "first line\n")
    with full_disk(15), pytest.raises(OSError) as error:
        append(log, "second line\n")
    assert error.value.errno == errno.ENOSPC and error.value.filename == str(log)
    assert log.read_text() == "first line\n"
    with full_disk(11), pytest.raises(OSError):
        append(log, "second line\n")
    assert log.read_text() == "first line\n"
    append(log, "second line\n")
    assert log.read_text() == "first line\nsecond line\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
def test_a_device_without_space():
    with pytest.raises(OSError) as error:
        append("/dev/full", "line\n")
    assert error.value.errno == errno.ENOSPC


def writers(run):
    """Every way in which a whole file comes to be: what is left unchanged is named by the file."""
    return {
        "grid.png": lambda: run.save_grid(Image.effect_noise((64, 64), 50)),
        "samples/007.png": lambda: run.save_picture(7, picture(7, 64), *latents(7)),
        "unguided/007.png": lambda: run.save_unguided(7, picture(7, 64)),
        ".state/7.safetensors": lambda: run.save_picture(
            7, picture(7, 2), torch.rand(4, 64, 64), torch.rand(4, 64, 64)
        ),
        ".state/state.safetensors": lambda: run.save_state({"z0": torch.rand(4, 64, 64)}, {}),
        "latents.safetensors": lambda: run.close({}),
        "summary.json": lambda: run.close({"text": "x" * 4000}),
    }


@pytest.mark.parametrize("file", writers(None))
def test_a_full_disk_leaves_no_half_file(run, file):
    for index in range(4):
        finish(run, index)
    before = names(run.path)
    with full_disk(1000 if "latents" in file else 2500), pytest.raises(OSError):
        writers(run)[file]()
    new = set(names(run.path)) - set(before) - {".state/7.safetensors" if "png" in file else "latents.safetensors"}
    assert not new - {"unguided"} and not run.finished
    writers(run)[file]()
    assert file in names(run.path) or not run.state.exists()


@pytest.mark.parametrize("name", ["samples.jsonl", "losses.csv"])
def test_a_full_disk_while_logging(run, name):
    write = {"samples.jsonl": lambda: run.save_record({"index": 0}), "losses.csv": lambda: run.save_steps([(0, 1)])}[
        name
    ]
    with full_disk(5), pytest.raises(OSError, match=name):
        write()
    assert run.load_state() is None and not (run.path / name).exists()
    write()
    assert (run.path / name).read_text().endswith("\n")


def test_losses_have_one_header_and_empty_places(run):
    run.save_steps([(0, 1, 0.5, 0.25, 0.25, None, 3.0), (1, 1, NAN, INF, 1e-9, 2.0, 3.0)])
    run.save_steps([(0, 2, 0.5, 0.25, 0.25, 1.0, 3.0)])
    header, *rows = csv.reader(run.losses.open())
    assert tuple(header) == LOSS_COLUMNS
    assert [row[:2] for row in rows] == [["0", "1"], ["1", "1"], ["0", "2"]]
    assert rows[0][5] == "" and float(rows[1][4]) == 1e-9


def test_a_picture_comes_back_as_the_file_holds_it(run):
    x, (z_start, z) = picture(5) * 1.4 - 0.2, latents(5)
    on_file, file = run.save_picture(5, x, z_start.transpose(1, 2), z)
    assert file == "samples/005.png"
    image = Image.open(run.path / file)
    assert (image.size, image.mode, image.format) == ((32, 32), "RGB", "PNG")
    assert torch.equal(on_file, to_tensor(image))
    assert (on_file - x.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6
    kept = load_file(run.state / "5.safetensors")
    assert torch.equal(kept["z_start"], z_start.transpose(1, 2)) and torch.equal(kept["z"], z)


def test_records_are_in_order_and_have_null_for_what_json_does_not_know(run):
    assert run.records() == []
    for index, loss in ((2, NAN), (0, 0.5), (1, -INF)):
        run.save_record(
            {"index": index, "loss": loss, "objective": [loss, (loss, 1)], "deep": {"a": loss}, "done": True}
        )
    lines = run.lines.read_text().splitlines()
    assert len(lines) == 3 and not any("NaN" in line or "Infinity" in line for line in lines)
    assert [record["index"] for record in run.records()] == [0, 1, 2]
    assert [record["loss"] for record in run.records()] == [0.5, None, None]
    assert run.records()[2] == {
        "index": 2,
        "loss": None,
        "objective": [None, [None, 1]],
        "deep": {"a": None},
        "done": True,
    }


def test_finite_leaves_the_rest_alone():
    value = {"a": [1, 2.5, "nan", None, True], "b": {"c": (3,)}}
    assert finite(value) == {"a": [1, 2.5, "nan", None, True], "b": {"c": [3]}}


def test_state_comes_back_and_later_lines_are_taken_back(run):
    tensors = {"z0": torch.randn(2, 4, 3, 3), "steps": torch.tensor([3, 4]), "none": torch.empty(0, 4)}
    assert run.load_state() is None
    run.save_steps([(0, 1)])
    finish(run, 0)
    run.save_state(tensors, {"waiting": [[2, 77]], "spread": 0.1})
    logs = run.lines.read_text(), run.losses.read_text()
    run.save_steps([(0, 2), (1, 2)])
    finish(run, 1)
    again = RunDir(run.path, PICTURES)
    loaded, facts = again.load_state()
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype
    assert (facts["waiting"], facts["spread"]) == ([[2, 77]], 0.1)
    assert (run.lines.read_text(), run.losses.read_text()) == logs
    assert [record["index"] for record in again.records()] == [0]


def test_what_was_written_before_the_first_state_is_taken_back(run):
    run.save_steps([(0, 1)])
    finish(run, 0)
    assert RunDir(run.path, PICTURES).load_state() is None
    assert not run.lines.exists() and not run.losses.exists()
    run.save_steps([(0, 1)])
    assert run.losses.read_text().startswith("sample,step,"), "the header is there again"


def test_a_state_replaces_the_one_before(run):
    run.save_state({"a": torch.zeros(3)}, {"n": 1})
    run.save_state({"b": torch.ones(2)}, {"n": 2})
    loaded, facts = run.load_state()
    assert loaded.keys() == {"b"} and facts["n"] == 2


def test_another_process_is_refused_until_this_one_ends(tmp_path):
    code = "import sys; from equidiff_cli.runs.writer import RunDir; run = RunDir.claim(sys.argv[1], None, {});"
    code += "print(flush=True)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code + "; input()", tmp_path / "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with holder:
        assert holder.stdout.readline() == b"\n"
        with pytest.raises(ValueError) as error:
            RunDir(tmp_path / "run", PICTURES).open({})
        assert str(error.value) == f"hydra.run.dir={tmp_path / 'run'}: another process is working in this directory"
        holder.kill()
    RunDir(tmp_path / "run", PICTURES).open({})


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"query": "dog", "samples": 9}, "query=dog: the run in {path} was begun with cat;"),
        ({"budget.steps": 6, "samples": 9}, "budget.steps=6: the run in {path} was begun with 5;"),
        ({"extra": 1}, "extra=1: the run in {path} was begun with None;"),
        ({"optimizer.betas": [0.9, 0.5]}, "optimizer.betas=[0.9, 0.5]: the run in {path} was begun with [0.9, 0.99];"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_another_configuration_is_refused(run, change, first, finished):
    if finished:
        finish(run, 0)
        run.close({"configuration": FACTS})
    run.lock.close()
    before = names(run.path)
    with pytest.raises(ValueError) as error:
        RunDir(run.path, PICTURES).open(FACTS | change)
    assert str(error.value) == first.format(path=run.path) + " use that value or another hydra.run.dir"
    assert names(run.path) == before
    again = RunDir(run.path, PICTURES)
    again.open(FACTS)
    assert again.finished == finished


def test_memory_may_be_shared_out_anew(tmp_path):
    run = RunDir(tmp_path / "run", PICTURES)
    before = dict(batch=4, checkpoint="all", seed=1)
    run.open(before)
    run.lock.close()
    run.open(before | {"batch": 2, "checkpoint": "none"})
    run.lock.close()
    with pytest.raises(ValueError, match=r"seed=2: .* begun with 1"):
        run.open(before | {"batch": 2, "seed": 2})


def test_what_is_no_key_is_not_called_one(tmp_path):
    run = RunDir(tmp_path / "run", PICTURES)
    run.open({"query (SHA-256 of its pixels)": "ab"})
    run.lock.close()
    with pytest.raises(ValueError) as error:
        run.open({"query (SHA-256 of its pixels)": "cd"})
    assert str(error.value).startswith("query (SHA-256 of its pixels): cd, but the run in ")
    assert str(error.value).endswith("was begun with ab; use another hydra.run.dir")


def test_a_key_that_is_gone_is_another_configuration(run):
    run.lock.close()
    with pytest.raises(ValueError, match=r"query=None: the run in .* was begun with cat"):
        RunDir(run.path, PICTURES).open({key: value for key, value in FACTS.items() if key != "query"})


def test_close_gathers_the_latents_in_order_and_removes_the_state(run):
    for index in (2, 0, 3, 1):
        finish(run, index)
    run.save_state({}, {})
    assert not run.finished
    run.close({"counts": {"converged": 4}, "loss_scale": INF})
    gathered = load_file(run.path / "latents.safetensors")
    assert gathered.keys() == {"z_start", "z"}
    for index in range(4):
        z_start, z = latents(index)
        assert torch.equal(gathered["z_start"][index], z_start) and torch.equal(gathered["z"][index], z)
    assert json.loads((run.path / "summary.json").read_text()) == {"counts": {"converged": 4}, "loss_scale": None}
    assert run.finished
    pictures = [f"samples/{index:03d}.png" for index in range(4)]
    assert names(run.path) == sorted(["latents.safetensors", "samples", "samples.jsonl", "summary.json", *pictures])


def test_opening_a_finished_run_again_changes_nothing(run):
    finish(run, 0)
    run.close({"configuration": FACTS})
    before = names(run.path)
    RunDir(run.path, PICTURES).open(FACTS)
    assert names(run.path) == before


def test_places_that_are_no_directories(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "samples").write_text("")
    for path in ("file", "file/below", "run"):
        run = RunDir(tmp_path / path, PICTURES)
        assert not run.finished
        with pytest.raises((NotADirectoryError, FileExistsError)):
            run.open({})
    assert names(tmp_path) == ["file", "run", "run/samples"]


def test_halves_of_a_killed_process_are_taken_away(run):
    ours = ("query.png", "samples/000.png", "unguided/000.png")
    for name in (*ours, "report.html", "other/samples/000.png", "other.png"):
        (run.path / name).parent.mkdir(exist_ok=True, parents=True)
        with whole(run.path / name) as beside:
            beside.write_text("whole")
            (run.path / name).with_name(beside.name.replace(str(os.getpid()), "77")).write_text("half")
    run.load_state()
    left = {file.relative_to(run.path).as_posix() for file in run.path.rglob("*.part.*")}
    assert left == {".report.77.part.html", "other/samples/.000.77.part.png", ".other.77.part.png"}, "of others"
    assert [(run.path / name).read_text() for name in ours] == ["whole"] * 3


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks(equidiff, tmp_path, monkeypatch, error):
    """One line that says what is lost, and a way to go on."""

    def none(*_):
        raise OSError(error, "no locks here")

    monkeypatch.setattr("equidiff_cli.runs.writer.fcntl.flock", none)
    words = ["prior=embedded", "samples=1", "budget.steps=1", "prior.steps=1", "null_samples=2", "hydra.run.dir=run"]
    done = equidiff("run", *words)
    assert (done.returncode, done.stdout) == (2, "") and list(tmp_path.iterdir()) == []
    (line,) = done.stderr.splitlines()
    assert line.startswith("equidiff: lock=true: this file system keeps no locks (") and "lock=false goes on" in line
    assert equidiff("run", *words, "lock=false").returncode == 0


def test_an_error_of_the_disk_is_not_taken_for_a_lack_of_locks(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("equidiff_cli.runs.writer.fcntl.flock", broken)
    with pytest.raises(OSError, match="broken"):
        RunDir(tmp_path / "run", PICTURES).open(FACTS)
