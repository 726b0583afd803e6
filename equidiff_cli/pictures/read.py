"""The query picture: a path, standard input or the name of a shipped picture -> RGB, square, 8 bits."""

import contextlib
import difflib
import functools
import io
import itertools
import logging
import os
import re
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
# What Pillow 13 raises for damaged files (found by cutting and altering some): RuntimeError, ArithmeticError for AVIF,
# IndexError and struct.error for GIF, TypeError for TIFF.
DAMAGED = (OSError, SyntaxError, ValueError, RuntimeError, ArithmeticError, IndexError, TypeError, struct.error)
# EXIF orientation -> what undoes it. ImageOps.exif_transpose also writes all other tags anew and fails on odd ones.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load(query, size, shipped):
    """Read a picture, turn it upright, crop its centre to a square and resize that.

    Args:
        query: a path, `-` for standard input, or the name of a shipped picture; a path that exists comes first.
        size: pixels a side of what is returned.
        shipped: the folder of the shipped pictures, `<name>.png`.

    Returns:
        An RGB `PIL.Image` of `size` x `size`; transparency lies on white, of an animation the first frame is taken.
    """
    query = str(query)
    with _file(query, Path(shipped)) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on metadata
        with _reading(query):
            image = Image.open(file, formats=FORMATS)  # the header alone
        width, height = image.size
        if min(width, height) < LEAST:
            raise _wrong(query, f"the picture is {width} x {height} pixels, at least {LEAST} x {LEAST} are needed")
        if width * height > MOST * 1e6:
            found = f"{width} x {height} pixels ({width * height / 1e6:.1f} megapixels)"
            raise _wrong(query, f"the picture is {found}, at most {MOST} megapixels are read")
        with _reading(query):
            # The further pictures in a camera's JPEG (MPO) are previews and depth maps.
            several = getattr(image, "is_animated", False) and image.format != "MPO"
            image.load()
            orientation = image.getexif().get(ExifTags.Base.Orientation)
    if several:
        log.warning("query=%s: holds several frames, the first is used", _one_line(query))
    if orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[orientation])
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = _rgb(query, image.crop((left, top, left + side, top + side)))
    return image.resize((size, size), Image.Resampling.LANCZOS)  # widens its kernel when it shrinks: antialiased


def _file(query, shipped):
    """The open, seekable, non-empty file that `query` names."""
    if query == "-":
        if sys.stdin is None or sys.stdin.buffer.isatty():
            raise _wrong(query, "nothing is piped into standard input, a picture is needed")
        file = io.BytesIO(_all_of(sys.stdin.buffer))
    else:
        file = _named(query, shipped)
        if not file.seekable():  # a pipe, such as <(command)
            with file:
                file = io.BytesIO(file.read())
    try:
        empty = not file.read(1)
    except OSError as error:
        file.close()
        raise _wrong(query, f"cannot be read: {error.args[-1]}") from None
    if empty:
        file.close()
        raise _wrong(query, f"{'standard input' if query == '-' else 'the file'} is empty, a picture is needed")
    file.seek(0)
    return file


@functools.lru_cache(maxsize=1)
def _all_of(stream):
    """All bytes of a stream, the same again for every job of a sweep."""
    return stream.read()


def _named(query, shipped):
    """The open file of the path `query`, or else of the shipped picture of that name."""
    path = os.path.expanduser(query)
    if os.path.isdir(path):
        raise _wrong(query, "is a folder, the path of one picture is needed")
    try:
        return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError):
        pictures = {picture.stem: picture for picture in sorted(shipped.glob("*.png"))}
    except (OSError, ValueError) as error:  # a ValueError for a zero byte in the name
        raise _wrong(query, f"cannot be read: {error.args[-1]}") from None
    if query in pictures:
        return open(pictures[query], "rb")
    names = f"; of the shipped pictures, {choices(query, pictures)}" if pictures else ""
    raise _wrong(query, f"no such file{_similar(path)}{names}")


def _similar(path):
    """What to say of the folder in which `path` is missing: the files with similar names, or why there are none."""
    folder, name = os.path.split(path)
    try:
        with os.scandir(folder or ".") as entries:  # an ImageNet folder would take minutes to compare
            beside = {entry.name.lower(): entry.name for entry in itertools.islice(entries, 2000)}
    except OSError as error:
        return f" ({folder}: {error.strerror})"
    near = [beside[match] for match in difflib.get_close_matches(name.lower(), beside)]
    return f" (similar there: {', '.join(near)})" if near else ""


@contextlib.contextmanager
def _reading(query):
    """Turn what Pillow raises for a file that it cannot read into one line."""
    try:
        yield
    except UnidentifiedImageError:
        raise _wrong(query, f"not a picture, or cut off; {', '.join(FORMATS)} are read") from None
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))  # Pillow tells the size nowhere else
        found = f"{int(pixels[0]) / 1e6:.0f} megapixels" if pixels else "too"
        raise _wrong(query, f"the picture is {found} large, at most {MOST} megapixels are read") from None
    except DAMAGED as error:
        raise _wrong(query, f"the picture is damaged or cut off: {error}") from None


def _rgb(query, image):
    """Any mode that Pillow decodes -> RGB; transparency on white."""
    if image.mode == "F" or image.mode.startswith("I"):
        # Pillow would clip these at 255 instead of scaling them.
        white = 1 if image.mode == "F" else 65535
        values = np.asarray(image, dtype=np.float32)  # (H, W)
        if not (values.min() >= 0 and values.max() <= white):  # not so for NaN
            found = f"grey values from {values.min():g} to {values.max():g}"
            raise _wrong(query, f"{found} in a {image.mode!r} picture, 0 to {white} are read")
        values = np.where(values == image.info.get("transparency", -1), white, values)
        image = Image.fromarray((values * (255 / white)).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _wrong(query, what):
    return ValueError(_one_line(f"query={query}: {what}"))


def _one_line(text):
    """`text` with its line ends, control characters and undecodable bytes escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
