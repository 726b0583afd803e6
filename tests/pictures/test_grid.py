"""The sheet: the query framed at the left, samples in rows, pixels that stay pixels."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from equidiff_cli.pictures.grid import cut, grid


def plain(side, value):
    return Image.new("RGB", (side, side), (value, 255 - value, 7))


def cells(sheet, side, gap):
    """The pictures on a sheet: those places of `side` x `side` whose upper left corner has the third colour 7."""
    pixels = np.asarray(sheet)
    for y in range(gap, sheet.height - side + 1):
        for x in range(gap, sheet.width - side + 1):
            cell = pixels[y : y + side, x : x + side]
            if pixels[y, x, 2] == 7 and pixels[y - 1, x - 1, 2] != 7 and (cell == cell[0, 0]).all():
                yield x, y, int(pixels[y, x, 0])


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 3), (4, 4), (5, 4), (8, 4), (9, 5), (32, 8)])
def test_every_picture_is_there_once_in_order(count, columns):
    sheet = grid(plain(12, 99), [plain(12, 100 + i) for i in range(count)], gap=2, smallest=12)
    (x, y, value), *samples = sorted(cells(sheet, 12, 2), key=lambda cell: cell[2])
    assert (x, y, value) == (2, 2, 99)
    assert [value for *_, value in samples] == list(range(100, 100 + count))
    for i, (x, y, _) in enumerate(samples):
        assert (x, y) == (12 + 8 + i % columns * 14, 2 + i // columns * 14)
    assert sheet.size == (12 + 8 + columns * 14, 2 + -(-count // columns) * 14), "no empty rows, a gap around"


def test_the_query_is_framed_and_the_rest_is_white():
    pixels = np.asarray(grid(plain(12, 99), [plain(12, 1)] * 5, gap=2, smallest=12))
    assert (pixels[:16, :2] == 0).all() and (pixels[:16, 14:16] == 0).all()
    assert (pixels[:2, :16] == 0).all() and (pixels[14:16, :16] == 0).all()
    assert (pixels[16:, :18] == 255).all() and (pixels[:, 16:20] == 255).all()
    assert (pixels[18:28, 34:] == 255).all(), "the free place of the last row"


@pytest.mark.parametrize(("side", "factor"), [(8, 12), (32, 3), (64, 2), (96, 1), (100, 1), (256, 1)])
def test_small_pictures_are_enlarged_without_smoothing(side, factor):
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    pixels = np.asarray(grid(plain(side, 5), [Image.fromarray(noise)]))
    frame, shown = 2 * factor, side * factor
    place = pixels[frame : frame + shown, shown + 4 * frame : 2 * shown + 4 * frame]
    assert (place == noise.repeat(factor, 0).repeat(factor, 1)).all()


def test_captions_stand_below_their_pictures_and_move_none():
    pictures = [plain(32, value) for value in (0, 60, 120, 180, 240, 250)]
    bare = np.asarray(grid(pictures[0], pictures[1:]))
    captions = [["cat 0.93", "value 1.000"], *[["dog 0.50", "value 2.000"]] * 4, []]
    pixels = np.asarray(grid(pictures[0], pictures[1:], captions=captions))
    step, below = 102, (len(pixels) - len(bare)) // 2
    assert 20 < below < 40, "room for two lines under each of two rows"
    assert (pixels[:step] == bare[:step]).all(), "the first row of pictures is where it was"
    assert (pixels[step + below : 2 * step + below - 6, 120:] == bare[step : 2 * step - 6, 120:]).all()
    dark = (pixels < 128).all(2)
    for column in range(4):
        x = 120 + 102 * column
        assert dark[102 : 102 + below, x : x + 96].any() and not dark[102 : 102 + below, x + 96 : x + 102].any()
    assert not dark[2 * step + below - 6 :, 120:].any(), "the last one has no words"
    assert dark[108 : 108 + below, 6:102].any(), "the query's stand below its frame"


def test_a_line_too_long_for_its_picture_keeps_its_number():
    font = ImageFont.load_default(12)
    assert cut("cat 0.93", 96, font) == "cat 0.93"
    short = cut("American Staffordshire terrier 0.93", 96, font)
    assert short.startswith("Amer") and short.endswith("… 0.93") and font.getlength(short) <= 96
