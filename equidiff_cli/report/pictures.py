"""Pictures of a run for the page: data URIs, and the size at which they are shown."""

import base64
import io
from dataclasses import dataclass

from PIL import Image

SMALL = 64  # pixels; up to here the file itself is embedded, larger pictures as JPEG
LARGE = 512  # pixels at which a picture is shown at most
QUALITY = 90


@dataclass(frozen=True)
class Picture:
    """A picture ready for `<img>`; `small` ones are enlarged by whole factors: on phones, on desks."""

    uri: str
    width: int
    height: int
    small: bool
    phone: int = 1
    desk: int = 1


def embed(file, limit=LARGE):
    """The `Picture` in `file`, shrunk to `limit` pixels; None if there is none that can be read."""
    try:
        with Image.open(file) as image:
            image.load()
    except OSError:
        return None
    small = max(image.size) <= SMALL
    if small:
        data, kind = file.read_bytes(), f"image/{image.format.lower()}"
    else:
        image = image.convert("RGB")
        image.thumbnail((limit, limit), Image.Resampling.LANCZOS)
        buffer, kind = io.BytesIO(), "image/jpeg"
        image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
        data = buffer.getvalue()
    uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    factors = (factor(image.width, 96), factor(image.width, 128)) if small else (1, 1)
    return Picture(uri, *image.size, small, *factors)


def drawing(file):
    """`grid.png` as it is, for runs whose samples are not pictures; None if there is none."""
    try:
        with Image.open(file) as image:
            image.load()
    except OSError:
        return None
    uri = f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
    return Picture(uri, *image.size, small=False)


def factor(width, shown):
    """The whole number by which a small picture is enlarged to be about `shown` pixels wide."""
    return max(1, -(-shown // width))
