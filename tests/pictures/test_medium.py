"""Pictures: a file holds 8 bits, and a query is known by its pixels."""

import shutil

import numpy as np
import torch
from PIL import Image

from equidiff_cli.pictures.grid import grid
from equidiff_cli.pictures.medium import Pictures
from equidiff_cli.shipped import QUERIES

MEDIUM = Pictures()


def test_a_file_holds_the_picture_in_eight_bits(tmp_path):
    x = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    MEDIUM.write(x, tmp_path / "x.png")
    again = MEDIUM.read(tmp_path / "x.png")
    assert (np.asarray(Image.open(tmp_path / "x.png")) == (x * 255).round().permute(1, 2, 0).numpy()).all()
    assert (again - x).abs().max() <= 0.5 / 255 + 1e-6


def test_a_query_is_known_by_its_pixels(tmp_path):
    shutil.copy(QUERIES / "cat.png", tmp_path / "renamed.png")
    named, renamed, smaller = (
        MEDIUM.identify(MEDIUM.query(query, size))
        for query, size in (("cat", 32), (tmp_path / "renamed.png", 32), ("cat", 16))
    )
    assert named == renamed != smaller


def test_the_sheet_shows_the_files(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for i, file in enumerate(files):
        MEDIUM.write(torch.full((3, 8, 8), i / 4), file)
    images = [Image.open(file) for file in files]
    assert MEDIUM.sheet(files[0], files[1:], None).tobytes() == grid(images[0], images[1:]).tobytes()
