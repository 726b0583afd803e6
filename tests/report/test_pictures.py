"""Pictures for the page: small ones to the byte, large ones within bounds."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from equidiff_cli.report.pictures import embed


def saved(path, width, height=None, noise=True):
    shape = (height or width, width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels if noise else np.full(shape, 90, np.uint8)).save(path)
    return path


def decoded(picture):
    data = base64.b64decode(picture.uri.partition(",")[2])
    return data, Image.open(io.BytesIO(data))


@pytest.mark.parametrize("width", [8, 32, 64])
def test_small_pictures_are_the_file_itself_at_a_whole_factor(tmp_path, width):
    file = saved(tmp_path / "a.png", width)
    picture = embed(file)
    assert decoded(picture)[0] == file.read_bytes() and picture.uri.startswith("data:image/png;")
    assert picture.small and picture.width * picture.phone >= 96 and picture.width * picture.desk >= 128
    assert picture.width * (picture.desk - 1) < 128


@pytest.mark.parametrize("most_bytes", [None, 60_000, 20_000, 5_000])
def test_large_pictures_stay_within_their_bytes(tmp_path, most_bytes):
    picture = embed(saved(tmp_path / "a.png", 256), most_bytes=most_bytes)
    data, image = decoded(picture)
    assert image.format == "JPEG" and not picture.small and (picture.width, picture.height) == (256, 256)
    assert most_bytes is None or len(data) <= most_bytes


def test_a_picture_of_many_pixels_is_shrunk_and_keeps_its_shape(tmp_path):
    picture = embed(saved(tmp_path / "a.png", 1200, 600, noise=False))
    assert (picture.width, picture.height) == decoded(picture)[1].size == (512, 256)


def test_what_cannot_be_read_is_none(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    assert embed(tmp_path / "a.png") is None and embed(tmp_path / "missing.png") is None
