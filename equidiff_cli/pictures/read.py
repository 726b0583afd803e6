"""The query picture: a path, standard input or the name of a shipped picture -> RGB, square, 8 bits."""

import contextlib
import functools
import io
import logging
import os
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from equidiff_cli.checks import choices

log = logging.getLogger(__name__)

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")  # EPS would start Ghostscript
MOST = 100  # megapixels
LEAST = 8  # pixels a side
# What Pillow raises for files that were cut off or altered.
DAMAGED = (OSError, SyntaxError, ValueError, RuntimeError, ArithmeticError, IndexError, TypeError, struct.error)
# EXIF orientation -> what undoes it. ImageOps.exif_transpose also writes all other tags anew and fails on odd ones.
TURNS = ["FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"]
UPRIGHT = {orientation: Image.Transpose[turn] for orientation, turn in enumerate(TURNS, start=2)}


def load(query, size, shipped):
    """A picture turned upright, its centre cropped to a square and resized; `ValueError`, one line, if there is none.

    Args:
        query: a path, `-` for standard input, or the name of a shipped picture; a path that exists comes first.
        size: pixels a side of what is returned.
        shipped: the folder of the shipped pictures, `<name>.png`.

    Returns:
        An RGB `PIL.Image` of `size` x `size`; transparency lies on white, of an animation the first frame is taken.
    """
    query = str(query)
    image = _upright(query, _bytes(query, Path(shipped)))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2  # whole pixels; ImageOps.fit would cut through
    image = _rgb(query, image.crop((left, top, left + side, top + side)))
    return image.resize((size, size), Image.Resampling.LANCZOS)  # widens its kernel when it shrinks: antialiased


def _bytes(query, shipped):
    """All bytes of the file that `query` names, at least one."""
    path = os.path.expanduser(query)
    if query == "-":
        if sys.stdin is None or sys.stdin.buffer.isatty():
            raise _wrong(query, "nothing is piped into standard input, a picture is needed")
        data = _all_of(sys.stdin.buffer)
    elif os.path.isdir(path):
        raise _wrong(query, "is a folder, the path of one picture is needed")
    elif os.path.exists(path):
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise _wrong(query, f"cannot be read: {error.strerror}") from None
    else:
        pictures = {picture.stem: picture for picture in sorted(shipped.glob("*.png"))}
        if query not in pictures:
            names = f"; of the shipped pictures, {choices(query, pictures)}" if pictures else ""
            raise _wrong(query, f"no such file{names}")
        data = pictures[query].read_bytes()
    if not data:
        raise _wrong(query, f"{'standard input' if query == '-' else 'the file'} is empty, a picture is needed")
    return data


@functools.lru_cache(maxsize=1)
def _all_of(stream):
    """All bytes of a stream, the same again for every job of a sweep."""
    return stream.read()


def _upright(query, data):
    """The first frame of a file, in any mode, turned as its EXIF orientation says."""
    with _reading(query):
        image = Image.open(io.BytesIO(data), formats=FORMATS)  # the header alone
    width, height = image.size
    if min(width, height) < LEAST:
        raise _wrong(query, f"the picture is {width} x {height} pixels, at least {LEAST} x {LEAST} are needed")
    if width * height > MOST * 1e6:
        raise _wrong(query, f"the picture is {width} x {height} pixels, at most {MOST} megapixels are read")
    with _reading(query):
        several = getattr(image, "is_animated", False)
        image.load()
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    if several:
        log.warning("%s", _wrong(query, "holds several frames, the first is used"))
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


@contextlib.contextmanager
def _reading(query):
    """Turn what Pillow raises for a file that it cannot read into one line, and leave out its remarks on metadata."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except UnidentifiedImageError:
        raise _wrong(query, f"not a picture, or cut off; {', '.join(FORMATS)} are read") from None
    except Image.DecompressionBombError:
        raise _wrong(query, f"the picture is too large, at most {MOST} megapixels are read") from None
    except DAMAGED as error:
        raise _wrong(query, f"the picture is damaged or cut off: {error}") from None


def _rgb(query, image):
    """Any mode that Pillow decodes -> RGB; transparency on white."""
    if image.mode == "F" or image.mode.startswith("I"):  # Pillow would clip these at 255 instead of scaling them
        white = 1 if image.mode == "F" else 65535
        values = np.asarray(image, dtype=np.float32)  # (H, W)
        if not 0 <= values.min() <= values.max() <= white:  # not so for NaN
            raise _wrong(query, f"grey values from {values.min():g} to {values.max():g}, 0 to {white} are read")
        values = np.where(values == image.info.get("transparency", -1), white, values)
        image = Image.fromarray((values * (255 / white)).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _wrong(query, what):
    return ValueError(f"query={query}: {what}".replace("\r", r"\r").replace("\n", r"\n"))
