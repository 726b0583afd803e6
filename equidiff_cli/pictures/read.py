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

from PIL import ExifTags, Image, UnidentifiedImageError

from equidiff_cli.checks import choices
from equidiff_cli.pictures import samples
from equidiff_cli.pictures.colour import declared, to_srgb
from equidiff_cli.pictures.kinds import is_heic, named

log = logging.getLogger(__name__)

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")  # EPS would start Ghostscript
NOTHING = "none"  # the word for no query; a file of that name is ./none
MOST = 100  # megapixels
LEAST = 8  # pixels a side
LONGEST = 4  # times the shorter side: more than any target's transform leaves of a picture
EXTRA = "pip install 'equidiff[pictures]'"  # reads more kinds
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# What Pillow raises for files that were cut off or altered.
DAMAGED = (OSError, SyntaxError, ValueError, RuntimeError, ArithmeticError, IndexError, TypeError, struct.error)
# EXIF orientation -> what undoes it. ImageOps.exif_transpose also writes all other tags anew and fails on odd ones.
TURNS = ["FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"]
UPRIGHT = {orientation: Image.Transpose[turn] for orientation, turn in enumerate(TURNS, start=2)}


def load(query, size, shipped):
    """A picture turned upright, its centre cropped to a square and resized; `ValueError`, one line, if there is none.

    Args:
        query: a path, `-` for standard input, or the name of a shipped picture; a path that can be read comes first.
        size: pixels a side of what is returned.
        shipped: the folder of the shipped pictures, `<name>.png`.

    Returns:
        An RGB `PIL.Image` of `size` x `size` in sRGB; transparency lies on white, of an animation the first frame is
        taken. What may mislead in it is logged.
    """
    image, remarks = whole(query, shipped)
    for remark in remarks:
        log.warning("%s", remark)
    return square(image, size)


def square(image, size):
    """The centre of a picture, cropped to a square, with `size` pixels a side."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2  # whole pixels; ImageOps.fit would cut through
    image = image.crop((left, top, left + side, top + side))
    return image.resize((size, size), Image.Resampling.LANCZOS)  # widens its kernel when it shrinks: antialiased


def reduced(image, shortest):
    """A picture with at most `shortest` pixels along its shorter side; of a very long one the middle."""
    width, height = image.size
    side = min(image.size)
    width, height = min(width, LONGEST * side), min(height, LONGEST * side)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    image = image.crop((left, top, left + width, top + height))
    scale = min(1, shortest / side)
    return image.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)


def whole(query, shipped):
    """(picture, remarks): all of what `load` crops, as RGB, upright, and a line for each thing that may mislead."""
    query, shipped = str(query), Path(shipped)
    namesake = shipped / f"{query}.png"
    if not (os.path.exists(os.path.expanduser(query)) and os.path.isfile(namesake) and namesake.stem == query):
        return _picture(query, _bytes(query, shipped))
    try:
        image, remarks = _picture(query, _bytes(query, shipped))
        return image, [f"query={query}: is the file here, not the shipped picture of that name", *remarks]
    except ValueError as error:
        reason = str(error).removeprefix(f"query={query}: ")
        said = f"query={query}: is the shipped picture; what has that name here is not taken ({reason})"
        return _picture(query, namesake.read_bytes())[0], [said]


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


def piped():
    """All bytes of standard input, for who has a query from there."""
    return _all_of(sys.stdin.buffer)


@functools.lru_cache(maxsize=1)
def _all_of(stream):
    """All bytes of a stream, the same again for every job of a sweep."""
    return stream.read()


def _picture(query, data):
    """(RGB picture upright, remarks) of the bytes of a file."""
    remarks = []
    with _reading(query):
        image = _opened(query, data)
    width, height = image.size
    if min(width, height) < LEAST:
        raise _wrong(query, f"the picture is {width} x {height} pixels, at least {LEAST} x {LEAST} are needed")
    if width * height > MOST * 1e6:
        raise _wrong(query, f"the picture is {width} x {height} pixels, at most {MOST} megapixels are read")
    with _reading(query):
        if getattr(image, "is_animated", False):
            remarks.append("holds several frames, the first is used")
        image.load()
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    profile, of_profile = declared(image, data)
    try:
        grey, of_depth = samples.shallow(image)
    except ValueError as error:
        raise _wrong(query, str(error)) from None
    colours, alpha = samples.split(grey, data) if grey is image else (grey, None)
    image, of_colours = to_srgb(colours, profile)
    if alpha is not None:
        image.putalpha(alpha)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    remarks += [remark for remark in (of_depth, of_profile, of_colours) if remark]
    image = image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image
    return image, [str(_wrong(query, remark)) for remark in remarks]


def _opened(query, data):
    """A file as Pillow sees it, of which only the header was read; what Pillow does not read by optional packages."""
    if is_heic(data):
        try:
            import pillow_heif
        except ImportError:
            raise _Named(f"a HEIC picture, which needs another package: {EXTRA}") from None
        pillow_heif.register_heif_opener()
        return Image.open(io.BytesIO(data), formats=["HEIF"])
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if data[:4] in TIFF:
            return _by_tifffile(data)
        if name := named(data):
            raise _Named(f"{name}; {', '.join(FORMATS)} are read") from None
        raise
    if samples.is_raw(image):
        raise _Named("a camera's raw picture (TIFF), of which only a preview could be read: develop it")
    return _by_tifffile(data) if samples.is_misread(image) else image


def _by_tifffile(data):
    try:
        return samples.by_tifffile(data, MOST)
    except ImportError:
        raise _Named(f"a TIFF with samples that Pillow does not read, or cut off; {EXTRA} reads more of them") from None


class _Named(Exception):
    """What a file is that is not read."""


@contextlib.contextmanager
def _reading(query):
    """Turn what Pillow raises for a file that it cannot read into one line, and leave out its remarks on metadata."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except _Named as error:
        raise _wrong(query, f"is {error}") from None
    except UnidentifiedImageError:
        raise _wrong(query, f"not a picture, or cut off; {', '.join(FORMATS)} are read") from None
    except Image.DecompressionBombError:
        raise _wrong(query, f"the picture is too large, at most {MOST} megapixels are read") from None
    except DAMAGED as error:
        raise _wrong(query, f"the picture is damaged or cut off: {error}") from None


def _wrong(query, what):
    return ValueError(f"query={query}: {what}".replace("\r", r"\r").replace("\n", r"\n"))
