"""The figure grid for print: the query at the left, the samples in rows beside it, status and error under each.

Sizes are chosen in pixels at `DPI`, so that every pixel of a small picture covers a whole number of pixels on paper.
"""

import logging
import math
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from equidiff_cli import __version__
from equidiff_cli.report import words
from equidiff_cli.report.labels import differing, labels
from equidiff_cli.runs.reader import error

DPI = 300
CELL = 256  # pixels a picture covers at most: 22 mm
GAP, FRAME, CAPTION = 24, 6, 84  # pixels between pictures, around the query, for a caption
TITLE, LINE = 60, 34  # pixels around a title, of one of its lines
COLUMNS = 7  # with the query, 180 mm: the width of a page's text
MOST_RUNS, MOST_OF_SEVERAL = 12, 14  # runs in one figure; samples of each where there are several
MOST = 70  # samples of one run: a page
SOFTWARE = f"EquiDiff report {__version__}"


def draw(runs, file):
    """Write the figure of `runs` to `file`, a .png at 300 dpi or a .pdf."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every glyph that it puts into a PDF
    most = MOST if len(runs) == 1 else MOST_OF_SEVERAL
    titles = [
        f"{label} – {words.held(run)} in {words.target(run)}"
        for run, label in zip(runs[:MOST_RUNS], labels(runs, differing(runs)), strict=False)
    ]
    if len(runs) == 1:
        titles = [words.question(runs[0])]
    bands = [Band(run, title, most) for run, title in zip(runs, titles, strict=False)]
    width, height = max(band.width for band in bands), sum(band.height for band in bands)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    top = height
    for band in bands:
        band.draw(figure, top, width, height)
        top -= band.height
    metadata = {"Software": SOFTWARE} if file.suffix == ".png" else {"Creator": SOFTWARE}
    figure.savefig(file, dpi=DPI, metadata=metadata)


def left_out(runs):
    """What of `runs` the figure cannot hold, in words; "" if nothing."""
    found = [f"{len(runs) - MOST_RUNS} runs beyond the first {MOST_RUNS}"] if len(runs) > MOST_RUNS else []
    most = MOST if len(runs) == 1 else MOST_OF_SEVERAL
    more = sum(max(0, len(run.rows) - most) for run in runs[:MOST_RUNS])
    found += [f"{more} samples beyond the first {most} of a run"] if more else []
    return f"the figure leaves out {' and '.join(found)}" if found else ""


class Band:
    """One run in the figure: the `title`, the query, rows of up to `most` samples."""

    def __init__(self, run, title, most):
        self.run, self.records = run, run.rows[:most]
        rows = max(1, math.ceil(len(self.records) / COLUMNS))
        self.columns = max(1, math.ceil(len(self.records) / rows))
        self.query = opened(run.query_file)
        self.side = self.query.width if self.query else CELL
        self.step = self.side + GAP
        self.width = (self.columns + 1) * self.step + 3 * GAP
        self.title = textwrap.wrap(title.replace("$", r"\$"), width=max(20, self.width // 21))[:3]
        self.head = TITLE + LINE * len(self.title)
        self.height = self.head + rows * (self.side + CAPTION) + GAP

    def draw(self, figure, top, width, height):
        """Draw below `top` (pixels from the lower edge) into a figure of `width` x `height` pixels."""

        def write(x, y, text, **style):
            figure.text(x / width, y / height, text, va="top", fontfamily="sans-serif", **style)

        def place(image, x, y):
            axes = figure.add_axes((x / width, (y - image.height) / height, image.width / width, image.height / height))
            axes.imshow(np.asarray(image), interpolation="none", aspect="auto")
            axes.set_axis_off()

        write(GAP, top - GAP, "\n".join(self.title), fontsize=7.5, fontweight="bold", linespacing=1.1)
        top -= self.head
        if self.query:
            frame = Image.new("RGB", (self.side + 2 * FRAME,) * 2, "black")
            place(frame, GAP - FRAME, top + FRAME)
            place(self.query, GAP, top)
        target = next((record["target"] for record in self.records), None)
        value = f"\n{words.number(target)}" if isinstance(target, (int, float)) else ""
        unit = next((unit for _, unit in (error(self.run, record) for record in self.records) if unit), "")
        note = f"\nerrors in\n{unit}" if unit and len(self.records) > self.columns else ""
        write(GAP, top - self.side - 14, f"query{value}{note}", fontsize=6, linespacing=1.15)
        for i, record in enumerate(self.records):
            row, column = divmod(i, self.columns)
            x, y = 3 * GAP + (column + 1) * self.step, top - row * (self.side + CAPTION)
            why = self.run.missing.get(record["file"])
            picture = None if why else opened(self.run.file(record))
            if picture:
                place(picture, x, y)
            else:
                write(x, y, f"{Path(record['file']).name}\n{why or 'cannot be read'}", fontsize=6, color="0.4")
            distance, _ = error(self.run, record)
            caption = f"{record['index']} {record['status']}\nerror {words.number(distance)}"
            write(x, y - self.side - 14, caption, fontsize=6, linespacing=1.15)


def opened(file):
    """The picture in `file`, enlarged by a whole factor or shrunk, at most `CELL` pixels a side; None if unreadable."""
    try:
        with Image.open(file) as image:
            image = image.convert("RGB")
    except OSError:
        return None
    factor = CELL // max(image.size)
    if factor >= 1:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return image
