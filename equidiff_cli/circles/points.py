"""Points of the plane: given as two numbers, kept as text with all their digits, shown in a figure of the plane.

To the loop a point is a picture of one pixel with two channels, whose range [0, 1] spans the square [-2, 2]^2.
"""

import torch

from equidiff_cli.checks import choices
from equidiff_cli.circles.plane import EXTENT, from_plane, to_plane
from equidiff_cli.pictures.read import NOTHING

SHIPPED = {"inner": (0.8, 0.0), "boundary": (1.0, 0.0), "outer": (1.2, 0.0)}


class Points:
    """Points x (2, 1, 1) in [0, 1]; files and people get coordinates in [-2, 2]."""

    name, channels, suffix = "points", 2, ".txt"

    def query(self, query, size):
        """The point of two numbers in one text, or of a shipped name; `ValueError` naming what is accepted.

        A point is one pixel, whatever `size` says; of no query, the origin.
        """
        query = str(query)
        if query == NOTHING:
            return self._point((0.0, 0.0))
        if query in SHIPPED:
            return self._point(SHIPPED[query])
        words = query.replace(",", " ").split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) != 2:
            accepted = f"a point of the plane, such as 'query=0.9 0.3', or for a shipped one {choices(query, SHIPPED)}"
            raise ValueError(f"query={' '.join(query.split())}: not a point; give {accepted}")
        if not all(abs(number) <= EXTENT for number in numbers):  # not so for NaN
            raise ValueError(f"query={query}: outside the plane; both numbers must be from {-EXTENT:g} to {EXTENT:g}")
        return self._point(numbers)

    def identify(self, x):
        """What a run's configuration says of its query: its coordinates."""
        return {"query (coordinates)": to_plane(x[None])[0].tolist()}

    def write(self, x, path):
        """Write one line with two numbers that give the same float32 back."""
        first, second = to_plane(x[None].double())[0].tolist()
        path.write_text(f"{first!r} {second!r}\n")

    def read(self, path):
        """The point in a file that `write` made."""
        return self._point([float(word) for word in path.read_text().split()])

    def sheet(self, query, samples, objective, captions=None):
        """The plane with the training points, the objective, its level curve and the samples; a PIL picture.

        There is no room for `captions` at points.
        """
        from equidiff_cli.circles.figure import draw_run  # matplotlib takes a second, which only the end of a run needs

        members = torch.stack([self.read(file) for file in samples])
        return draw_run(objective, to_plane(self.read(query)[None])[0], to_plane(members))

    def _point(self, numbers):
        return from_plane(torch.tensor([numbers], dtype=torch.float64))[0].float()
