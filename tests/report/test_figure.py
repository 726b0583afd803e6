"""The figure for print: whole pixels, 300 dpi, captions, gaps for what is missing."""

import numpy as np
import pytest
from PIL import Image

from equidiff_cli.report.figure import CELL, left_out, opened
from equidiff_cli.report.figure import draw as draw_figure
from equidiff_cli.runs.reader import read


def contains(sheet, picture):
    """Whether the pixels of `picture` stand somewhere on `sheet`."""
    corners = np.argwhere((sheet[: -picture.shape[0] + 1, : -picture.shape[1] + 1] == picture[0, 0]).all(-1))
    return any((sheet[y : y + picture.shape[0], x : x + picture.shape[1]] == picture).all() for y, x in corners)


@pytest.mark.parametrize("side", [8, 32, 256])
def test_every_pixel_stands_on_whole_pixels_of_the_paper(make_run, tmp_path, side):
    run = read(make_run("run", samples=3, side=side), "run")
    draw_figure([run], tmp_path / "figure.png")
    image = Image.open(tmp_path / "figure.png")
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    sheet, factor = np.asarray(image.convert("RGB")), CELL // side
    for file in ("query.png", *(record["file"] for record in run.records)):
        pixels = np.asarray(Image.open(run.path / file)).repeat(factor, 0).repeat(factor, 1)
        assert contains(sheet, pixels), file


def test_a_page_holds_a_bounded_number_and_says_what_it_leaves_out(make_run):
    one = read(make_run("one", samples=3), "one")
    one.rows = one.rows * 30
    assert left_out([one]) == "the figure leaves out 20 samples beyond the first 70 of a run"
    assert left_out([one, one]).endswith("152 samples beyond the first 14 of a run")
    one.rows = one.rows[:1]
    assert left_out([one]) == "" and left_out([one] * 15).endswith("3 runs beyond the first 12")


def test_several_runs_stand_below_each_other(make_run, tmp_path):
    runs = [read(make_run(f"a $x$ {i}", samples=2, **{"filter.cutoff": i / 4}), f"a $x$ {i}") for i in (1, 2)]
    for count in (1, 2):
        draw_figure(runs[:count], tmp_path / f"{count}.png")
    sizes = [Image.open(tmp_path / f"{count}.png").height for count in (1, 2)]
    assert sizes[1] > 1.7 * sizes[0]


def test_missing_pictures_leave_a_gap(make_run, tmp_path):
    path = make_run("run", samples=3)
    gone = np.asarray(opened(path / "samples/001.png"))
    (path / "samples/001.png").unlink()
    (path / "query.png").unlink()
    draw_figure([read(path, "run")], tmp_path / "figure.png")
    sheet = np.asarray(Image.open(tmp_path / "figure.png").convert("RGB"))
    assert not contains(sheet, gone) and contains(sheet, np.asarray(opened(path / "samples/002.png")))


def test_pdf(make_run, tmp_path):
    draw_figure([read(make_run("run"), "run")], tmp_path / "figure.pdf")
    data = (tmp_path / "figure.pdf").read_bytes()
    assert data.startswith(b"%PDF") and b"/Creator (EquiDiff report " in data
