"""The query and the samples side by side in one picture, with a few words under each."""

import math

from PIL import Image, ImageDraw, ImageFont


def grid(query, samples, gap=2, smallest=96, captions=None):
    """A sheet with the query at the left, framed, and the samples in rows beside it; all PIL pictures of one size.

    Small pictures are enlarged by a whole factor, without smoothing, so that a pixel stays a pixel.

    Args:
        captions: the lines of text under each picture, the query's first; a line too long for its picture is cut.
    """
    factor = max(1, math.ceil(smallest / query.width))
    side = query.width * factor
    columns = min(len(samples), max(4, math.ceil(math.sqrt(2 * len(samples)))))
    rows = math.ceil(len(samples) / columns)
    gap = gap * factor
    font = ImageFont.load_default(max(12, side // 14))
    below = sum(font.getmetrics()) * max(map(len, captions or [()]))  # pixels for the lines under a picture
    across, down = side + gap, side + gap + below
    sheet = Image.new("RGB", (side + 4 * gap + columns * across, gap + max(rows * down, side + gap + below)), "white")
    sheet.paste("black", (0, 0, side + 2 * gap, side + 2 * gap))
    for i, picture in enumerate([query, *samples]):
        x, y = gap, gap
        if i:
            row, column = divmod(i - 1, columns)
            x, y = side + 4 * gap + column * across, gap + row * down
        sheet.paste(picture.resize((side, side), Image.Resampling.NEAREST), (x, y))
        for k, line in enumerate(captions[i] if captions else ()):
            place = (x, y + side + (0 if i else gap) + k * sum(font.getmetrics()))
            ImageDraw.Draw(sheet).text(place, cut(line, side, font), fill="black", font=font)
    return sheet


def cut(line, width, font):
    """The line as it is if it fits, else with less of what stands before its last word: "a long na… 0.93"."""
    words, _, last = line.rpartition(" ")
    while font.getlength(line) > width and words:
        words = words[:-1].rstrip()
        line = f"{words}… {last}"
    return line
