"""Colours as a file declares them -> sRGB, which networks are trained on and screens show."""

import contextlib
import io
import struct

import numpy as np
from PIL import ExifTags, Image, ImageCms

SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # x and y of white, red, green and blue
ADOBE_RGB = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
PRIMARIES = {  # by the numbers of ITU-T H.273, as AVIF, HEIC and PNG give them
    1: SRGB,
    9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),  # BT.2020
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),  # DCI-P3
    12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),  # Display P3
}
CURVES = {4: 2.2, 5: 2.8, 8: 1.0} | dict.fromkeys((1, 6, 13, 14, 15), "sRGB")  # BT.709 is shown with that of sRGB
UNKNOWN = 2  # of both
SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of a profile -> mode of a picture
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SAME = 2  # levels of 255, by which profiles of sRGB differ in rounding
# What libpng takes for sRGB: gamma within 5 %, chromaticities within 0.01.
GAMMA, NEAR_GAMMA, NEAR_XY = 0.45455, 0.05, 0.01


def to_srgb(image, profile):
    """(RGB picture, remark): a picture without transparency, converted from its colour profile to sRGB.

    What is sRGB already keeps its values. A `profile` (bytes of ICC, or None) that cannot be used is dropped; the
    remark, a text or None, says so, as it does of what is converted without one.
    """
    if image.mode not in ("L", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if profile is None:
        naive = image.mode == "CMYK" and "is CMYK without a colour profile: its colours are a guess"
        return image.convert("RGB"), naive or None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space
        mode = SPACES.get(space, space.strip())
        if mode not in (image.mode, "RGB") or (image.mode, mode) == ("CMYK", "RGB"):
            said = f"its colour profile is for {mode}, the picture is {image.mode}: the profile is dropped"
            return image.convert("RGB"), said
        convert = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        image = image.convert(mode)
        return image.convert("RGB") if _changes_nothing(convert, mode) else convert.apply(image), None
    except (ImageCms.PyCMSError, ImportError, OSError, TypeError, ValueError):
        return image.convert("RGB"), "its colour profile is damaged and is dropped: colours are taken for sRGB"


def _changes_nothing(convert, mode):
    """Whether a transform leaves a lattice of colours as they are, up to rounding."""
    if mode == "CMYK":
        return False
    steps = np.linspace(0, 255, 17 if mode == "RGB" else 256).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(*[steps] * len(mode)), -1).reshape(1, -1, len(mode))  # (1, colours, channels)
    done = np.asarray(convert.apply(Image.fromarray(colours if mode == "RGB" else colours[..., 0])))
    return np.abs(done.astype(int) - colours).max() <= SAME


def declared(image, data):
    """(profile, remark): what an opened picture, whose file is `data`, says of its colours.

    The profile is None where it says nothing or sRGB. One is made for what PNG says in `cICP`, `cHRM` and `gAMA`, AVIF
    and HEIC in `nclx`, TIFF in its chromaticities, and cameras in EXIF of Adobe RGB.
    """
    if image.format == "PNG" and (at := data.find(b"cICP", 0, data.find(b"IDAT"))) >= 0:
        return _coded(*data[at + 4 : at + 6])
    if profile := image.info.get("icc_profile"):
        return profile, None
    if "srgb" in image.info:
        return None, None
    if image.format == "PNG" and {"gamma", "chromaticity"} & set(image.info):
        return _calibrated(image.info.get("gamma"), image.info.get("chromaticity")), None
    if image.format in ("AVIF", "HEIF") and (at := data.find(b"colrnclx")) >= 0:
        return _coded(*struct.unpack(">HH", data[at + 8 : at + 12]))
    if image.format == "TIFF" and {318, 319} <= set(image.tag_v2):  # WhitePoint, PrimaryChromaticities
        return _calibrated(None, tuple(map(float, image.tag_v2[318] + image.tag_v2[319]))), None
    with contextlib.suppress(Exception):  # whatever odd EXIF raises
        if image.getexif().get_ifd(ExifTags.IFD.Interop).get(1) == "R03":
            return made(ADOBE_RGB, 563 / 256), None
    return None, None


def _coded(primaries, transfer):
    if UNKNOWN in (primaries, transfer) or (primaries == 1 and CURVES.get(transfer) == "sRGB"):
        return None, None
    if primaries not in PRIMARIES or transfer not in CURVES:
        what = "brightness of high dynamic range" if transfer in (16, 18) else "a colour space that is not known here"
        return None, f"declares {what} (H.273: {primaries}/{transfer}), which is dropped: colours are taken for sRGB"
    return made(PRIMARIES[primaries], CURVES[transfer]), None


def _calibrated(gamma, chromaticities):
    if gamma is None or not gamma > 0 or abs(gamma / GAMMA - 1) < NEAR_GAMMA:
        gamma = None
    if chromaticities is None or np.abs(np.subtract(chromaticities, SRGB)).max() < NEAR_XY:
        chromaticities = None
    if gamma is chromaticities is None:
        return None
    return made(chromaticities or SRGB, 1 / gamma if gamma else "sRGB")


def made(chromaticities, curve):
    """An ICC profile (bytes) of a screen; not a valid one, and so dropped later, where chromaticities make no sense.

    Args:
        chromaticities: x and y of white, red, green and blue.
        curve: the exponent that makes values linear, or "sRGB".
    """
    x, y = np.array(chromaticities, dtype=float).reshape(4, 2).T
    power = (3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045) if curve == "sRGB" else (0, curve)
    try:
        with np.errstate(all="raise"):
            white, *colours = np.stack([x / y, np.ones(4), (1 - x - y) / y], 1)  # XYZ
            colours = np.array(colours).T
            colours = colours @ np.diag(np.linalg.solve(colours, white))  # that add up to white
            adapted = np.linalg.inv(BRADFORD) @ np.diag(BRADFORD @ D50 / (BRADFORD @ white)) @ BRADFORD @ colours
        para = struct.pack(">4s4xHxx", b"para", power[0]) + _fixed(power[1:])
        columns = [b"XYZ \0\0\0\0" + _fixed(column) for column in (D50, *adapted.T)]
    except (ArithmeticError, np.linalg.LinAlgError, struct.error):
        return b"none"
    tags = dict(zip((b"wtpt", b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True))
    tags |= {name + b"TRC": para for name in (b"r", b"g", b"b")}
    table, content, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, start + len(content), len(tag))
        content += tag
    header = struct.pack(">I4xI4s4s4s12x4s", start + len(content), 0x04200000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (header + bytes(28) + _fixed(D50)).ljust(128, b"\0") + table + content


def _fixed(numbers):
    """As s15Fixed16Number of ICC."""
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)
