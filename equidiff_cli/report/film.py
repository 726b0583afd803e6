"""The film of a Markov chain: its pictures, one after the other, beside the value that stays what it is."""

import base64
import io
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from equidiff_cli import __version__
from equidiff_cli.report import words
from equidiff_cli.report.pictures import SMALL, factor
from equidiff_cli.runs.reader import error

MOST = 100  # frames; of a longer chain evenly as many
SIDE, GAP, WIDE, TALL = 192, 16, 656, 252  # pixels: of a picture, between things, of a frame
TOP = 28  # pixels above the pictures
PACE = 50  # milliseconds a frame, at least; a film of fewer frames takes 3 s
ON_PAGE = 4  # films of one run on the page
STRIP = 96  # pixels: of a large picture in a strip
RANGE = 2.0  # null spreads above and below the query's value
PAPER, INK, SOFT, LINE, RULE = "#ffffff", "#1b2430", "#55606e", "#0072b2", "#d5dbe3"
MADE = f"EquiDiff report {__version__}"


@dataclass(frozen=True)
class Frame:
    """One state of a chain: its file, after how many moves, and how far its value is from the query's: with a sign
    where it is one number, in null spreads where these are known."""

    file: Path
    move: int
    off: float
    value: float | list
    unit: str


def frames(run, index, most=MOST):
    """At most so many states of the chain of sample `index`, evenly; those whose file is gone are left out."""
    records, target = run.chains[index], next(record["target"] for record in run.records if record["index"] == index)
    found = []
    for record in records[:: -(-len(records) // most)]:
        value = record["objective"]
        distance, unit = error(run, {"objective_saved": value, "target": target})
        if run.file(record).is_file() and distance is not None:
            sign = math.copysign(1, value - target) if isinstance(value, float) else 1
            found.append(Frame(run.file(record), record["move"], sign * distance, value, unit))
    return found


def finished(run):
    """The samples whose chains came to their end, by index."""
    return [record["index"] for record in run.records if record["index"] in run.chains]


@dataclass(frozen=True)
class Strip:
    """The frames of one chain side by side in one picture, for the page; `times` is how much it is enlarged there.

    `width`, `height` are of one frame, in pixels of the strip; `said` has what stands under each frame.
    """

    index: int
    uri: str
    width: int
    height: int
    times: int
    said: list


def strips(run):
    """The `Strip`s of the first chains of a run; [] for runs without any."""
    chains = finished(run)[:ON_PAGE] if run.pictured else []
    return [strip(index, shown) for index in chains if (shown := frames(run, index))]


def strip(index, shown):
    """The `Strip` of frames: a PNG of small pictures, a JPEG of large ones, which are shrunk."""
    with Image.open(shown[0].file) as image:
        small, width, height = max(image.size) <= SMALL, *image.size
    width, height = (width, height) if small else (STRIP, STRIP)
    row = Image.new("RGB", (width * len(shown), height))
    for k, frame in enumerate(shown):
        row.paste(opened(frame.file, height), (k * width, 0))
    buffer, kind = io.BytesIO(), "png" if small else "jpeg"
    row.save(buffer, kind, **({"optimize": True} if small else {"quality": 80}))
    uri = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    said = [f"move {frame.move}, off by {words.number(abs(frame.off))} {frame.unit}" for frame in shown]
    return Strip(index, uri, width, height, factor(width, 192) if small else 2, said)


def write(run, file, kind):
    """Write the film of the first chain of a run to `file`, which loops; `kind` is gif or webp."""
    shown = frames(run, finished(run)[0])
    pages = [Page(run, shown, i).draw() for i in range(len(shown))]
    options = dict(save_all=True, duration=max(PACE, 3000 // len(pages)), loop=0)
    if kind == "gif":
        pages = quantized(pages)
        pages[0].save(file, "GIF", append_images=pages[1:], comment=MADE.encode(), **options)
    else:
        exif = Image.Exif()
        exif[0x0131] = MADE  # software
        pages[0].save(file, "WEBP", append_images=pages[1:], exif=exif, quality=90, method=4, **options)


def quantized(pages):
    """Pages with one palette, that of up to 16 of them, so that what stands still costs nothing."""
    some = pages[:: -(-len(pages) // 16)]
    together = Image.new("RGB", (WIDE, TALL * len(some)))
    for i, page in enumerate(some):
        together.paste(page, (0, i * TALL))
    palette = together.quantize(256, Image.Quantize.MEDIANCUT)
    return [page.quantize(palette=palette, dither=Image.Dither.NONE) for page in pages]


class Page:
    """One frame of the film of `shown`, with the value of frames up to `i`."""

    def __init__(self, run, shown, i):
        self.run, self.shown, self.i = run, shown, i

    @cached_property
    def font(self):
        """That of matplotlib, which has every sign that numbers need; imported for a film alone."""
        from matplotlib import get_data_path

        return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 13)

    def draw(self):
        """The picture of it (WIDE x TALL)."""
        page = Image.new("RGB", (WIDE, TALL), PAPER)
        ink, now = ImageDraw.Draw(page), self.shown[self.i]
        for x, file, title in ((GAP, self.run.query_file, "query"), (2 * GAP + SIDE, now.file, f"move {now.move}")):
            ink.text((x, 6), title, INK, self.font)
            page.paste(opened(file), (x, TOP))
        self.trace(ink, 3 * GAP + 2 * SIDE, WIDE - GAP)
        held = f"{words.held(self.run)} in {words.target(self.run)}"
        ink.text((GAP, TALL - 24), clipped(ink, held, self.font, WIDE - 2 * GAP), SOFT, self.font)
        return page

    def trace(self, ink, left, right):
        """The values so far, in a band of `RANGE` null spreads around the query's."""
        now = self.shown[self.i]
        value = f"value {words.number(now.value)}" if isinstance(now.value, float) else f"off by {now.off:.2g}"
        ink.text((left, 6), value, INK, self.font)
        middle, high = TOP + SIDE // 2, SIDE // 2 - 1
        ink.rectangle((left, TOP, right, TOP + SIDE - 1), outline=RULE)
        ink.line((left, middle, right, middle), RULE)
        if now.unit == "null spreads":
            ink.text((left + 4, TOP + 2), f"+{RANGE:g} null spreads", SOFT, self.font)
            ink.text((left + 4, TOP + SIDE - 20), f"\N{MINUS SIGN}{RANGE:g}", SOFT, self.font)
        for k, frame in enumerate(self.shown[: self.i + 1]):
            x = left + 6 + (right - left - 12) * k / max(1, len(self.shown) - 1)
            y = middle - high * max(-1, min(1, frame.off / RANGE))
            ink.ellipse((x - 2, y - 2, x + 2, y + 2), LINE)


def clipped(ink, text, font, width):
    """A text that fits into so many pixels."""
    while ink.textlength(text, font) > width:
        text = text[:-2].rstrip("…") + "…"
    return text


def opened(file, side=SIDE):
    """The picture in `file`, `side` pixels high: a small one enlarged by pixels, a large one shrunk."""
    with Image.open(file) as image:
        image = image.convert("RGB")
    small = max(image.size) <= side
    image = image.resize((side, side), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)
    return image
