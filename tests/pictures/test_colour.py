"""Colours of files against published matrices from one colour space to another, and profiles that are of no use."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from equidiff_cli.pictures.colour import ADOBE_RGB, PRIMARIES, SRGB, made
from equidiff_cli.pictures.read import load
from equidiff_cli.shipped import QUERIES

SIDE = 16
# Linear light to that of sRGB, as published with CSS Color 4 (W3C).
FROM_P3 = [[1.2249401, -0.2249404, 0], [-0.0420569, 1.0420571, 0], [-0.0196376, -0.0786361, 1.0982735]]
FROM_ADOBE = [[1.3983557, -0.3983557, 0], [0, 1, 0], [0, -0.0429290, 1.0429290]]
FROM_2020 = [
    [1.6604910, -0.5876411, -0.0728499],
    [-0.1245505, 1.1328999, -0.0083494],
    [-0.0181508, -0.1005789, 1.1187297],
]


@pytest.fixture
def read(tmp_path, monkeypatch, caplog):
    """(file, bytes) -> array (SIDE, SIDE, 3) and what was logged."""
    monkeypatch.chdir(tmp_path)

    def call(name, data):
        caplog.clear()
        (tmp_path / name).write_bytes(data)
        with caplog.at_level(logging.WARNING):
            pixels = np.asarray(load(name, SIDE, tmp_path)).astype(int)
        return pixels, [record.getMessage() for record in caplog.records]

    return call


def colours(mode="RGB"):
    """A picture of all kinds of colours that no colour space above takes out of the gamut of sRGB."""
    values = np.random.default_rng(0).integers(90, 170, (SIDE, SIDE, len(mode)), dtype=np.uint8)
    return Image.fromarray(values if len(mode) > 1 else values[..., 0], mode)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(tag, data):
    return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))


def with_chunks(image, *chunks):
    """A PNG with more chunks behind its header."""
    data = encoded(image, "PNG")
    return data[:33] + b"".join(chunk(*one) for one in chunks) + data[33:]


def linear(values):
    values = np.asarray(values) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb(light):
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


D50 = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)


def profile(space, connection, tags):
    """An ICC profile by hand."""
    table, content = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(content), len(tag))
        content += tag
    size = 132 + 12 * len(tags) + len(content)
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x3i", size, 0x02400000, b"prtr", space, connection, b"acsp", 63190, 65536, 54061
    )
    return header.ljust(128, b"\0") + table + content


LINEAR_GREY = profile(b"GRAY", b"XYZ ", {b"wtpt": D50, b"kTRC": b"curv" + struct.pack(">4xI", 0)})


def inks():
    """A profile of four inks of which only the last one, black, is seen."""
    ramp = bytes(range(256))
    lightness = b"".join(
        bytes([255 if i % 2 == 0 else 0, 128, 128]) for i in range(16)
    )  # the last input varies fastest
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + lightness + ramp * 3
    return profile(b"CMYK", b"Lab ", {b"wtpt": D50, b"A2B0": table})


P3, ADOBE, LINEAR = made(PRIMARIES[12], "sRGB"), made(ADOBE_RGB, 563 / 256), made(SRGB, 1.0)


@pytest.mark.parametrize(
    ("icc", "matrix", "light"),
    [
        (P3, FROM_P3, linear),
        (ADOBE, FROM_ADOBE, lambda v: (v / 255) ** (563 / 256)),
        (LINEAR, np.eye(3), lambda v: v / 255),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_a_profile_is_converted(read, icc, matrix, light, kind):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}, "AVIF": {"quality": 100}}
    data = encoded(colours(), kind, icc_profile=icc, **options.get(kind, {}))
    stored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
    expected = srgb(light(stored) @ np.array(matrix).T)
    seen, said = read("a.bin", data)
    assert np.abs(seen - expected).max() <= 1.5 and np.abs(seen - stored).max() > 5
    assert not said


def test_transparency_and_palettes_have_colours_too(read):
    image = colours()
    expected = srgb(linear(np.asarray(image)) @ np.array(FROM_P3).T)
    image.putalpha(Image.new("L", image.size, 255))
    image.paste((0, 255, 0, 0), (0, 0, SIDE, 8))
    seen, _ = read("a.png", encoded(image, "PNG", icc_profile=P3))
    assert (seen[:8] == 255).all() and np.abs(seen[8:] - expected[8:]).max() <= 1.5
    palette = Image.new("P", (SIDE, SIDE), 1)
    palette.putpalette([0, 0, 0, 150, 120, 100])
    seen, _ = read("a.png", encoded(palette, "PNG", icc_profile=P3))
    assert np.abs(seen - srgb(linear([150, 120, 100]) @ np.array(FROM_P3).T)).max() <= 1.5


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_what_is_srgb_keeps_its_bytes(read, kind):
    plain, _ = read("a.bin", encoded(colours(), kind))
    hewlett_packard = Image.open(QUERIES / "cat.png").info["icc_profile"]
    for icc in (
        hewlett_packard,
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        made(SRGB, "sRGB"),
    ):
        seen, said = read("a.bin", encoded(colours(), kind, icc_profile=icc))
        assert (seen == plain).all() and not said


def test_the_shipped_query_keeps_its_bytes():
    with Image.open(QUERIES / "cat.png") as image:
        assert load("cat", 256, QUERIES).tobytes() == image.tobytes()


def test_grey(read):
    grey = colours("L")
    expected = srgb(np.asarray(grey) / 255)
    seen, said = read("a.png", encoded(grey, "PNG", icc_profile=LINEAR_GREY))
    assert np.abs(seen - expected[..., None]).max() <= 1.5 and not said
    seen, said = read("a.png", encoded(grey, "PNG", icc_profile=LINEAR))  # of colours, which software writes for grey
    assert np.abs(seen - expected[..., None]).max() <= 1.5 and not said
    deep = Image.fromarray(np.asarray(grey, dtype=np.uint16) * 257)
    seen, _ = read("a.png", encoded(deep, "PNG", icc_profile=LINEAR_GREY))
    assert np.abs(seen - expected[..., None]).max() <= 1.5


def test_four_inks(read):
    black = Image.new("CMYK", (SIDE, SIDE), (0, 200, 200, 0))
    black.paste((0, 200, 200, 255), (0, 0, SIDE, 8))
    for kind in ("JPEG", "TIFF"):
        seen, said = read("a.bin", encoded(black, kind, icc_profile=inks()))
        assert (seen[:7] < 8).all() and (seen[9:] > 247).all(), "only black is seen, which is what the profile says"
        assert not said
        seen, said = read("a.bin", encoded(black, kind))
        assert abs(seen[15, 0] - (255, 55, 55)).max() < 8
        assert said == ["query=a.bin: is CMYK without a colour profile: its colours are a guess"]


@pytest.mark.parametrize("icc", [b"", b"abc", P3[:200], bytes(500), P3[:128] + b"\xff" * 300])
def test_a_damaged_profile_is_dropped(read, icc):
    plain, _ = read("a.png", encoded(colours(), "PNG"))
    seen, said = read("a.png", encoded(colours(), "PNG", icc_profile=icc or b"\0"))
    assert (seen == plain).all()
    assert said == ["query=a.png: its colour profile is damaged and is dropped: colours are taken for sRGB"]


def test_a_profile_for_other_pictures_is_dropped(read):
    seen, said = read("a.png", encoded(colours(), "PNG", icc_profile=LINEAR_GREY))
    assert (seen == np.asarray(colours())).all()
    assert said == ["query=a.png: its colour profile is for L, the picture is RGB: the profile is dropped"]


def gama(gamma):
    return b"gAMA", struct.pack(">I", round(gamma * 100000))


def chrm(numbers):
    return b"cHRM", struct.pack(">8I", *(round(number * 100000) for number in numbers))


@pytest.mark.parametrize(
    ("chunks", "matrix", "light"),
    [
        ([gama(1)], np.eye(3), lambda v: v / 255),
        ([gama(1 / 1.8), chrm(SRGB)], np.eye(3), lambda v: (v / 255) ** 1.8),
        ([gama(0.45455), chrm(PRIMARIES[12])], FROM_P3, linear),
        ([chrm(PRIMARIES[12])], FROM_P3, linear),
        ([(b"cICP", bytes([12, 13, 0, 1])), gama(1)], FROM_P3, linear),
        ([(b"cICP", bytes([9, 8, 0, 1]))], FROM_2020, lambda v: v / 255),
    ],
)
def test_what_a_png_says_without_a_profile(read, chunks, matrix, light):
    stored = np.asarray(colours(), dtype=float)
    seen, said = read("a.png", with_chunks(colours(), *chunks))
    assert np.abs(seen - srgb(light(stored) @ np.array(matrix).T)).max() <= 2.5 and not said


@pytest.mark.parametrize(
    "chunks",
    [
        [gama(0.45455)],
        [gama(0.45455), chrm(SRGB)],
        [(b"sRGB", b"\0"), gama(1), chrm(PRIMARIES[12])],
        [(b"cICP", bytes([1, 13, 0, 1])), gama(1)],
        [gama(0)],
    ],
)
def test_what_a_png_of_srgb_says(read, chunks):
    seen, said = read("a.png", with_chunks(colours(), *chunks))
    assert (seen == np.asarray(colours())).all() and not said


def test_high_dynamic_range_and_nonsense_are_said_to_be_dropped(read):
    for one, words in (((b"cICP", bytes([9, 16, 0, 1])), "high dynamic range"), (chrm([0] * 8), "is damaged")):
        seen, said = read("a.png", with_chunks(colours(), one))
        assert (seen == np.asarray(colours())).all()
        assert len(said) == 1 and words in said[0] and "dropped" in said[0]


def test_avif_that_names_its_colours_by_numbers(read):
    data = encoded(colours(), "AVIF", quality=100)
    at = data.index(b"colrnclx") + 8
    stored, _ = read("a.avif", data)
    seen, _ = read("a.avif", data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :])
    assert np.abs(seen - srgb(linear(stored) @ np.array(FROM_P3).T)).max() <= 2.5


def test_a_camera_that_says_adobe_rgb_in_exif(read):
    entries = ((0x8769, 4, 1, 26), (0xA005, 4, 1, 44), (1, 2, 4, int.from_bytes(b"R03", "little")))
    exif = b"Exif\0\0II*\0\x08\0\0\0" + b"".join(struct.pack("<HHHIII", 1, *entry, 0) for entry in entries)
    stored = np.asarray(colours(), dtype=float)
    seen, _ = read("a.png", encoded(colours(), "PNG", exif=exif))
    assert np.abs(seen - srgb((stored / 255) ** (563 / 256) @ np.array(FROM_ADOBE).T)).max() <= 2.5


def test_tiff_with_chromaticities(read):
    tags = {318: PRIMARIES[12][:2], 319: PRIMARIES[12][2:]}
    seen, _ = read("a.tif", encoded(colours(), "TIFF", tiffinfo=tags))
    assert np.abs(seen - srgb(linear(np.asarray(colours())) @ np.array(FROM_P3).T)).max() <= 2.5
