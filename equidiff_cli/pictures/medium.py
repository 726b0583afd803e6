"""Pictures: read from common formats, kept as 8-bit PNG, shown side by side."""

import hashlib

from PIL import Image

from equidiff_cli.pictures.convert import to_image, to_tensor
from equidiff_cli.pictures.grid import grid
from equidiff_cli.pictures.read import NOTHING, reduced, square, whole
from equidiff_cli.shipped import QUERIES

SHEET = 512  # samples that are shown side by side, the first ones; more are no picture that can be opened


class Pictures:
    """RGB pictures x (3, H, W) in [0, 1]."""

    name, channels, suffix = "pictures", 3, ".png"

    def query(self, query, size):
        """The picture that `query` names, `size` pixels a side, grey for none; `ValueError` if it cannot be read."""
        if query == NOTHING:
            return to_tensor(Image.new("RGB", (size, size), "grey"))
        return to_tensor(square(whole(query, QUERIES)[0], size))

    def original(self, query, shortest):
        """(picture (3, H, W), lines): the whole picture that `query` names, with at most `shortest` pixels along its
        shorter side, and what may mislead in it.
        """
        image, remarks = whole(query, QUERIES)
        return to_tensor(reduced(image, shortest)), remarks

    def identify(self, x):
        """What a run's configuration says of its query: the same for a renamed file, another for other pixels."""
        return {"query (SHA-256 of its pixels)": hashlib.sha256(to_image(x).tobytes()).hexdigest()}

    def write(self, x, path):
        """Write a PNG file, rounded to 8 bits."""
        to_image(x).save(path)

    def read(self, path):
        """The picture in a file that `write` made."""
        with Image.open(path) as image:
            return to_tensor(image)

    def sheet(self, query, samples, objective, captions=None):
        """The query and the samples side by side, from the paths of their files; a PIL picture.

        Args:
            captions: the lines under each of them, the query's first; None for no room for any.
        """
        opened = []
        for file in (query, *samples[:SHEET]):  # one file open at a time, however many there are
            with Image.open(file) as image:
                opened.append(image.copy())
        return grid(opened[0], opened[1:], captions=captions)
