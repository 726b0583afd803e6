"""What files say of their samples: depth, which value is white, which one is transparent."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from equidiff_cli.pictures.read import load

SIDE = 16
RAMP = np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE)


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(data=None):
        if data is not None:
            (tmp_path / "a.bin").write_bytes(data)
        return np.asarray(load("a.bin", SIDE, tmp_path)).astype(int)

    return call


def tiff(rows, bits, photometric, order="<", **tags):
    """An uncompressed TIFF by hand, of packed rows."""
    data = b"".join(rows)
    entries = {256: (3, SIDE), 257: (3, SIDE), 258: (3, bits), 259: (3, 1), 262: (3, photometric), 273: (4, 8)}
    entries |= {277: (3, 1), 278: (3, SIDE), 279: (4, len(data))} | {int(tag[1:]): (3, v) for tag, v in tags.items()}
    table = struct.pack(order + "H", len(entries))
    for tag, (kind, value) in sorted(entries.items()):
        table += struct.pack(order + ("HHIHxx" if kind == 3 else "HHII"), tag, kind, 1, value)
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(data)) + data + table + bytes(4)


def packed(values, bits):
    """Rows of `bits` a value, the most significant first, whole bytes a row."""
    return [np.packbits([int(b) for v in row for b in f"{v:0{bits}b}"]).tobytes() for row in values]


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
def test_grey_tiff_of_every_depth(read, bits, order, photometric):
    values = np.rint(RAMP * (2**bits - 1)).astype(int)
    rows = [row.astype(order + "u2").tobytes() for row in values] if bits == 16 else packed(values, bits)
    expected = np.rint(values * (255 / (2**bits - 1)))
    expected = 255 - expected if photometric == 0 else expected
    assert np.abs(read(tiff(rows, bits, photometric, order)) - expected[..., None]).max() <= 1


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "u2", "u4"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_tiff_of_other_numbers(read, dtype, photometric, compression):
    white = 1 if dtype[0] == "f" else np.iinfo(dtype).max
    values = (RAMP * white).astype(dtype)
    stored = np.stack([values, values[::-1], values.T], -1) if photometric == "rgb" else values
    tifffile.imwrite("a.bin", stored, photometric=photometric, compression=compression)
    expected = np.rint(stored.astype(float) * (255 / white)).reshape(SIDE, SIDE, -1)
    if dtype == "u4" and photometric == "minisblack":  # Pillow reads numbers with a sign, whose white is not known
        with pytest.raises(ValueError, match="grey values from"):
            read()
        return
    seen = read()
    assert np.abs(seen - (255 - expected if photometric == "miniswhite" else expected)).max() <= 1


def test_tiff_in_planes_and_turned(read):
    stored = np.random.default_rng(0).integers(0, 65536, (3, SIDE, SIDE), dtype=np.uint16)
    tifffile.imwrite("a.bin", stored, photometric="rgb", planarconfig="separate", extratags=[(274, "H", 1, 3, True)])
    assert np.abs(read() - np.rint(stored / 257).transpose(1, 2, 0)[::-1, ::-1]).max() <= 1


def test_more_than_is_read_is_seen_before_it_is(read):
    rows = packed(np.zeros((SIDE, SIDE), int), 10)
    data = tiff(rows, 10, 1).replace(struct.pack("<HHIH", 257, 3, 1, SIDE), struct.pack("<HHIH", 257, 3, 1, 60000))
    data = data.replace(struct.pack("<HHIH", 256, 3, 1, SIDE), struct.pack("<HHIH", 256, 3, 1, 60000))
    with pytest.raises(ValueError, match="60000 x 60000 pixels, at most 100 megapixels are read"):
        read(data)


def test_nearly_black_is_remarked(read, caplog):
    for most, count in ((4095, 1), (60000, 0)):
        caplog.clear()
        Image.fromarray(np.rint(RAMP * most).astype(np.uint16)).save("a.bin", "PNG")
        with caplog.at_level(logging.WARNING):
            read()
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == count and all("16-bit grey values reach 4095 of 65535 only" in line for line in said)


def png(depth, colour, rows, clear, palette=b""):
    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + (chunk(b"PLTE", palette) if palette else b"") + chunk(b"tRNS", clear) + body


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey_of_every_depth(read, depth):
    values = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 2 ** min(depth, 8)
    rows = [row.astype(">u2").tobytes() for row in values] if depth == 16 else packed(values, depth)
    shown = np.rint(values * (255 / (2**depth - 1)))
    for clear in sorted({0, 1, 2**depth - 1, 2**depth // 2} & set(values.flat)):
        seen = read(png(depth, 0, rows, struct.pack(">H", clear)))
        assert (seen == np.where(values == clear, 255, shown)[..., None]).all(), clear


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_transparent_entries_of_palettes_of_every_depth(read, depth):
    values = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 2**depth
    palette = np.random.default_rng(0).integers(0, 200, (2**depth, 3), dtype=np.uint8)
    seen = read(png(depth, 3, packed(values, depth), bytes([255, 0]), palette.tobytes()))
    assert (seen == np.where(values[..., None] == 1, 255, palette[values])).all()


@pytest.mark.parametrize("depth", [8, 16])
def test_one_transparent_colour_and_none_that_is_near(read, depth):
    colour = np.array([0x12, 0x34, 0x56]) if depth == 8 else np.array([0x1234, 0x5678, 0x9ABC])
    values = np.tile(colour, (SIDE, SIDE, 1))
    values[8:, :, 2] += 1
    rows = [row.astype(">u2" if depth == 16 else "u1").tobytes() for row in values]
    seen = read(png(depth, 2, rows, struct.pack(">3H", *colour)))
    assert (seen[:8] == 255).all() and np.abs(seen[8:] - values[8:] / (257 if depth == 16 else 1)).max() <= 1


def test_a_raw_picture_is_not_its_preview(read):
    values = np.zeros((SIDE, SIDE), int)
    for tags in ({"t254": 1}, {"t50706": 1}):
        with pytest.raises(ValueError, match="is a camera's raw picture"):
            read(tiff(packed(values, 8), 8, 1, **tags))


def test_heic_is_read(read):
    from pillow_heif import from_pillow

    from equidiff_cli.shipped import QUERIES

    with Image.open(QUERIES / "cat.png") as image:
        picture = image.convert("RGB").resize((64, 64))
    file = io.BytesIO()
    from_pillow(picture).save(file, quality=95)
    smaller = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(read(file.getvalue()) - smaller).mean() < 4
    for length in (40, 200, len(file.getvalue()) // 2):
        with pytest.raises(ValueError, match="cut off"):
            read(file.getvalue()[:length])
