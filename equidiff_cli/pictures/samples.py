"""What files say of their samples: how deep they are, which value is white, which one is transparent."""

import io
import logging

import numpy as np
from PIL import ExifTags, Image

BITS, PHOTOMETRIC = 258, 262  # tags of TIFF
WHITE_IS_ZERO, FILTER_ARRAY, LINEAR_RAW = 0, 32803, 34892
PLANES, SEPARATE = 284, 2
DNG, KIND_OF_PAGE = 50706, 254
DARK = 4  # bits that no value of a deep picture uses, from which on it is remarked


def is_raw(image):
    """Whether an opened TIFF is a camera's raw file, of which Pillow would read a small preview or a mosaic."""
    if image.format != "TIFF":
        return False
    tags = image.tag_v2
    return DNG in tags or bool(tags.get(KIND_OF_PAGE, 0) & 1) or tags.get(PHOTOMETRIC) in (FILTER_ARRAY, LINEAR_RAW)


def is_misread(image):
    """Whether Pillow would take every byte for a sample of an opened TIFF, which has deeper ones in separate planes."""
    if image.format != "TIFF":
        return False
    return image.tag_v2.get(PLANES) == SEPARATE and max(image.tag_v2.get(BITS, (1,))) > 8


def shallow(image):
    """(picture, remark): grey values deeper than 8 bits as 8 bits, black 0 and white 255; others as they are.

    `ValueError` for values outside what the file says there is: 0 to 1, or to the largest number of its bits.
    """
    if not (image.mode == "F" or image.mode.startswith("I")):
        return image, None
    tags = image.tag_v2 if image.format == "TIFF" else {}
    bits = tags.get(BITS, (16,))[0] if image.mode.startswith("I;16") else 16
    white = 1 if image.mode == "F" else 2**bits - 1
    values = np.asarray(image, dtype=np.float32)  # (H, W)
    if not 0 <= values.min() <= values.max() <= white:  # not so for NaN
        raise ValueError(f"grey values from {values.min():g} to {values.max():g}, 0 to {white} are read")
    clear = values == image.info.get("transparency", -1)
    largest = values.max()
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        values = white - values
    values = (np.where(clear, white, values) * (255 / white)).round().astype(np.uint8)
    remark = None
    if image.mode != "F" and 0 < largest < 2 ** (bits - DARK):
        remark = f"its {bits}-bit grey values reach {largest:g} of {white} only; where it holds fewer bits, scale them"
    grey = Image.fromarray(values)
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return grey, remark


def split(image, data):
    """(colours, alpha): a picture without its transparency, and that as mode L, or None where there is none."""
    if not image.has_transparency_data:
        return image, None
    clear = image.info.get("transparency")
    if image.format == "PNG" and image.mode == "RGB" and data[24] == 16:
        low = Image.open(io.BytesIO(data))  # Pillow keeps the upper byte of each colour; read the other one
        low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]
        values = np.asarray(image, dtype=np.uint16) * 256 + np.asarray(low)  # (H, W, 3)
        alpha = Image.fromarray(np.where((values == clear).all(-1), 0, 255).astype(np.uint8))
    elif image.format == "PNG" and image.mode == "L" and isinstance(clear, int):
        scaled = clear * 255 // (2 ** data[24] - 1)  # 2 and 4 bits are read as 8, their transparent value is not
        alpha = image.point([0 if value == scaled else 255 for value in range(256)])
    else:
        alpha = image.convert("RGBA").getchannel("A")
    if image.mode in ("LA", "La"):
        return image.convert("LA").getchannel("L"), alpha
    return (image if image.mode == "L" else image.convert("RGBA").convert("RGB")), alpha


def by_tifffile(data, most):
    """The first page of a TIFF with samples that Pillow does not know; `ImportError` without the package `tifffile`.

    Raises `ValueError` for what that does not read either, and for more than `most` megapixels.
    """
    import tifffile

    log = logging.getLogger("tifffile")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)  # it reports damaged tags one by one
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            if page.imagewidth * page.imagelength > most * 1e6:
                raise ValueError(f"{page.imagewidth} x {page.imagelength} pixels, at most {most} megapixels are read")
            values, axes, kind, bits = page.asarray(), page.axes, page.photometric.name, page.bitspersample
            profile, turned = page.iccprofile, page.tags.get(ExifTags.Base.Orientation)
            table = page.colormap
    except Exception as error:  # damaged files raise anything
        raise ValueError(f"not a TIFF that can be read, or cut off: {error}") from None
    finally:
        log.setLevel(level)
    if kind == "PALETTE" and table is not None:
        values, bits, kind, axes = np.moveaxis(table[:, values], 0, -1), 16, "RGB", "YXS"
    if axes == "SYX":
        values, axes = np.moveaxis(values, 0, -1), "YXS"
    channels = values.shape[-1] if axes == "YXS" else 1
    modes = {("MINISBLACK", 1): "L", ("MINISWHITE", 1): "L", ("RGB", 3): "RGB", ("RGB", 4): "RGBA"}
    mode = (modes | {("SEPARATED", 4): "CMYK"}).get((kind, channels))
    if mode is None or axes not in ("YX", "YXS"):
        raise ValueError(f"a TIFF of the kind {kind} with axes {axes}, which is not read")
    white = 1 if values.dtype.kind == "f" else 2**bits - 1
    values = values.astype(np.float32)
    if not 0 <= values.min() <= values.max() <= white:
        raise ValueError(f"values from {values.min():g} to {values.max():g}, 0 to {white} are read")
    values = (white - values if kind == "MINISWHITE" else values) * (255 / white)
    image = Image.frombytes(mode, values.shape[1::-1], values.round().astype(np.uint8).tobytes())
    if profile:
        image.info["icc_profile"] = profile
    if turned:
        image.getexif()[ExifTags.Base.Orientation] = int(turned.value)
    return image
