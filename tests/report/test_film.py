"""Films of chains: every state is there, as it was, beside its value."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from equidiff_cli.report.film import GAP, SIDE, TOP, frames, strips
from equidiff_cli.report.page import render
from equidiff_cli.runs.reader import read

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]


def walked(path, states=3, index=0):
    """Give sample `index` of a run a chain of pictures of one colour each."""
    (path / "chains" / f"{index:03d}").mkdir(parents=True)
    lines = []
    for k in range(states):
        file = f"chains/{index:03d}/{k:04d}.png"
        Image.new("RGB", (8, 8), COLOURS[k % 3]).save(path / file)
        facts = {"move": 10 + k, "objective": 3.5 + 0.02 * k, "latent_norm": 5.0, "file": file}
        lines.append(json.dumps({"index": index, "number": k} | facts))
    (path / "chains.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    return path


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_the_film_shows_every_state_beside_the_query(equidiff, make_run, tmp_path, kind):
    walked(make_run("run"))
    for _ in range(2):  # its own file is replaced
        done = equidiff("report", "run", f"format={kind}")
        assert done.returncode == 0 and done.stdout == f"run/walk.{kind}\n", done.stderr
    with Image.open(tmp_path / "run" / f"walk.{kind}") as film:
        assert film.n_frames == 3 and film.info["loop"] == 0
        for k, colour in enumerate(COLOURS):
            film.seek(k)
            page = np.asarray(film.convert("RGB")).astype(int)
            state = page[TOP + 5 : TOP + SIDE - 5, 2 * GAP + SIDE + 5 : 2 * GAP + 2 * SIDE - 5]
            assert np.abs(state - colour).max() < 25


def test_frames_say_how_far_the_value_is(make_run):
    run = read(walked(make_run("run")))
    shown = frames(run, 0)
    assert [frame.move for frame in shown] == [10, 11, 12] and {frame.unit for frame in shown} == {"null spreads"}
    assert [frame.off for frame in shown] == pytest.approx([0, 0.01, 0.02]), "one null spread is 2 units"
    assert len(frames(read(walked(make_run("long"), states=250)), 0)) == 84, "every third"


def test_the_page_has_the_states_pixel_by_pixel(make_run):
    path = walked(make_run("run"))
    (strip,) = strips(read(path))
    with Image.open(io.BytesIO(base64.b64decode(strip.uri.partition(",")[2]))) as row:
        assert row.size == (24, 8) and [row.getpixel((8 * k + 4, 4)) for k in range(3)] == COLOURS
    assert strip.said[2] == "move 12, off by 0.0200 null spreads"
    page = render([read(path)])
    assert strip.uri in page and 'data-film="3"' in page and "prefers-reduced-motion" in page
    assert "data-film=" not in render([read(make_run("other"))])
