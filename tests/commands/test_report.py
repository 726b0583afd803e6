"""`equidiff report` as a user meets it: where the file goes, what is replaced, one line for what is wrong."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from equidiff_cli.commands import report as command
from equidiff_cli.commands.report import prepare


def line_of(done):
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return line


def test_the_page_goes_into_the_run_and_its_path_to_standard_output(equidiff, make_run, tmp_path):
    make_run("outputs/my run")
    done = equidiff("report", "outputs/my run")
    assert line_of(done) == "outputs/my run/report.html" and done.stderr == ""
    assert "Pictures with the same logit of cat in smallconv" in (tmp_path / "outputs/my run/report.html").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}, "no run directory of its own"
    assert not list((tmp_path / "outputs/my run").glob(".*.part*"))


def test_a_sweep_has_its_page_and_so_have_its_runs_named_one_by_one(equidiff, make_run):
    make_run.sweep("sweep", "filter.cutoff", [0.2, 0.4])
    assert line_of(equidiff("report", "sweep")) == "sweep/report.html"
    assert line_of(equidiff("report", "sweep/0", "sweep/1")) == "sweep/report.html", "it replaces its own page"
    make_run("other")
    assert line_of(equidiff("report", "sweep", "other")) == "report.html"


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_the_figure_alone(equidiff, make_run, tmp_path, kind):
    make_run('it\'s "a" <script> ${x} run=1')
    for _ in range(2):  # its own file is replaced
        line = line_of(equidiff("report", 'it\'s "a" <script> ${x} run=1', f"format={kind}"))
    assert line.endswith(f"run=1/figure.{kind}")
    if kind == "png":
        assert Image.open(tmp_path / line).info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_it_works_without_torch_and_at_once(process, make_run):
    make_run("run")
    done = process("report", "run", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0 and " torch" not in done.stderr and " matplotlib" not in done.stderr


WRONG = {
    "no run": ({"runs": []}, "no run given"),
    "nothing there": ({"runs": ["run", "nowhere"]}, "nowhere: no such directory"),
    "no run in it": ({"runs": ["empty"]}, "empty: neither a run"),
    "another format": ({"format": "jpg"}, "format=jpg: use one of html, png, pdf, gif, webp"),
    "another ending": ({"output": "figure.png"}, "output=figure.png: format=html makes a .html file"),
    "no folder": ({"output": "no/where.html"}, "output=no/where.html: must be a file in a folder that exists"),
    "a file of another": ({"output": "file.html"}, "output=file.html: exists and was not made by equidiff report"),
    "no chains": ({"format": "gif"}, "format=gif: run kept no states of a finished chain; draw it with method=walk"),
    "two films": ({"runs": ["run", "new"], "format": "webp"}, "format=webp: a film is of one run, 2 were given"),
    "points": ({"runs": ["points"], "format": "png"}, "format=png: the samples of points are not pictures"),
    "no samples": ({"runs": ["new"], "format": "pdf"}, "format=pdf: no sample is finished yet"),
    "damaged": ({"runs": ["damaged"]}, "damaged: samples.jsonl is damaged"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests_name_key_and_value_and_change_nothing(make_run, tmp_path, monkeypatch, name):
    request, message = dict(WRONG[name][0]), WRONG[name][1]
    make_run("run")
    make_run("new", samples=0, finished=False, wanted=3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.html").write_text("<p>a page about an EquiDiff report</p>")
    points = make_run("points") / "samples.jsonl"
    points.write_text(points.read_text().replace(".png", ".txt"))
    (make_run("damaged") / "samples.jsonl").write_text("half a line\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as error:
        words = request.pop("runs", ["run"])
        prepare(OmegaConf.create({"output": None, "format": "html"} | request), Path(), words)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("word", ["nowhere", "samples=3"])
def test_a_wrong_request_is_one_line_and_exit_2(equidiff, tmp_path, word):
    done = equidiff("report", word)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr in (
        "equidiff: nowhere: no such directory; give the directory of a run or of a sweep\n",
        "equidiff: samples: no such key; use one of format, output\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(make_run, monkeypatch):
    """Root may write everywhere, so the answer of the system is made up."""
    path = make_run("run")
    monkeypatch.setattr(command.os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="the folder cannot be written to; choose another one"):
        command.place(None, "html", [str(path)], [path])


def test_a_figure_says_what_it_leaves_out(equidiff, make_run):
    for job in range(14):
        make_run(f"sweep/{job}", samples=1)
    done = equidiff("report", "sweep", "format=pdf")
    assert line_of(done) == "sweep/figure.pdf" and "leaves out 2 runs beyond the first 12" in done.stderr


def test_help(equidiff):
    text = equidiff("report", "--help").stdout
    for words in ("put runs on one HTML page", "output=null", "format=html", "equidiff report RUN..."):
        assert words in text
    assert "report " in equidiff("--help").stdout
