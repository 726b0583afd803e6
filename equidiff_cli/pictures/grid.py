"""The query and the samples side by side in one picture."""

import math

from PIL import Image


def grid(query, samples, gap=2, smallest=96):
    """A sheet with the query at the left, framed, and the samples in rows beside it; all PIL pictures of one size.

    Small pictures are enlarged by a whole factor, without smoothing, so that a pixel stays a pixel.
    """
    factor = max(1, math.ceil(smallest / query.width))
    side = query.width * factor
    columns = min(len(samples), max(4, math.ceil(math.sqrt(2 * len(samples)))))
    rows = math.ceil(len(samples) / columns)
    step, frame = side + gap * factor, gap * factor
    sheet = Image.new("RGB", (frame + side + 3 * frame + columns * step, frame + rows * step), "white")
    sheet.paste("black", (0, 0, side + 2 * frame, side + 2 * frame))
    for i, picture in enumerate([query, *samples]):
        place = (frame, frame)
        if i:
            row, column = divmod(i - 1, columns)
            place = (side + 4 * frame + column * step, frame + row * step)
        sheet.paste(picture.resize((side, side), Image.Resampling.NEAREST), place)
    return sheet
