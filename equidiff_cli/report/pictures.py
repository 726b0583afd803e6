"""Pictures of a run for the page: data URIs, and the size at which they are shown."""

import base64
import io
import math
from dataclasses import dataclass, replace

from PIL import Image

SMALL = 64  # pixels; up to here the file itself is embedded, larger pictures as JPEG
LARGE = 512  # pixels at which a picture is shown at most
# What is tried until a picture fits: JPEG quality, colour at full resolution (0) or half (2), share of the size.
STEPS = ((90, 0, 1.0), (85, 2, 1.0), (70, 2, 1.0), (70, 2, 0.5), (60, 2, 0.25))


@dataclass(frozen=True)
class Picture:
    """A picture ready for `<img>`; `small` ones are enlarged by whole factors: on phones, on desks."""

    uri: str
    width: int
    height: int
    small: bool
    phone: int = 1
    desk: int = 1

    @property
    def half(self):
        """The same at half the size, where it stands beside another one."""
        return replace(self, phone=-(-self.phone // 2), desk=-(-self.desk // 2))

    @property
    def thumb(self):
        """The same at the size of a thumbnail."""
        times = factor(self.width, 64) if self.small else 1
        return replace(self, phone=times, desk=times)


def embed(file, limit=LARGE, most_bytes=None):
    """The `Picture` in `file`; None if there is none that can be read.

    Args:
        limit: pixels a side; larger pictures are shrunk.
        most_bytes: what a large picture may take; its quality is lowered until it does.
    """
    try:
        with Image.open(file) as image:
            image.load()
    except OSError:
        return None
    if max(image.size) <= SMALL:
        uri = _uri(f"image/{image.format.lower()}", file.read_bytes())
        return Picture(uri, *image.size, True, factor(image.width, 96), factor(image.width, 128))
    image = image.convert("RGB")
    image.thumbnail((limit, limit), Image.Resampling.LANCZOS)
    return Picture(_uri("image/jpeg", _jpeg(image, most_bytes or math.inf)), *image.size, False)


def _jpeg(image, most_bytes):
    for quality, subsampling, share in STEPS:
        buffer = io.BytesIO()
        size = [max(1, round(side * share)) for side in image.size]
        image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
        if buffer.tell() <= most_bytes:
            break
    return buffer.getvalue()


def _uri(kind, data):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def drawing(file):
    """`grid.png` as it is, for runs whose samples are not pictures; None if there is none."""
    try:
        with Image.open(file) as image:
            image.load()
    except OSError:
        return None
    return Picture(_uri("image/png", file.read_bytes()), *image.size, small=False)


def factor(width, shown):
    """The whole number by which a small picture is enlarged to be about `shown` pixels wide."""
    return max(1, -(-shown // width))
