"""equidiff_cli/pictures/read.py against pictures of every kind, made here, and against files that are none."""

import contextlib
import io
import logging
import os
import resource
import struct
import sys
import threading
import time
import types
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equidiff_cli.pictures.read import load

SIZE = 16
KINDS = ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"]
RED, LIME, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Call `load` in an empty folder: (query) -> array (SIZE, SIZE, 3)."""
    for name in ("shipped", "here"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (32, 32), LIME).save(tmp_path / "shipped/parrot.png")
    Image.new("RGB", (32, 32), BLUE).save(tmp_path / "shipped/lighthouse.png")
    monkeypatch.chdir(tmp_path / "here")

    def call(name, size=SIZE):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = load(name, size, tmp_path / "shipped")
        assert (image.mode, image.size) == ("RGB", (size, size))
        return np.asarray(image).astype(int)

    return call


@pytest.fixture
def refused(read):
    """Call `load`, which must fail: (query) -> what its one line says after `query=<value>: `."""

    def call(name):
        with pytest.raises(ValueError) as caught:
            read(name)
        assert type(caught.value) is ValueError
        line = str(caught.value)
        assert len(line.splitlines()) == 1 and line.startswith("query=")
        return line.partition(": ")[2]

    return call


def picture(width=SIZE, height=SIZE, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image, kind, frames=(), **options):
    file = io.BytesIO()
    image.save(file, kind, **options, **({"save_all": True, "append_images": frames} if frames else {}))
    return file.getvalue()


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png(width, height, depth, colour, rows, extra=b""):
    """A PNG by hand: what its header claims need not be true."""

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# where it comes from


@pytest.mark.parametrize("there", ["a folder", "a file that is no picture", "a damaged picture"])
def test_a_shipped_name_beside_what_cannot_be_read(read, refused, caplog, there):
    if there == "a folder":
        os.mkdir("parrot")
    else:
        Path("parrot").write_bytes(b"x" if there == "a file that is no picture" else encoded(picture(), "PNG")[:200])
    with caplog.at_level(logging.WARNING):
        assert (read("parrot") == LIME).all()
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("query=parrot: is the shipped picture; what has that name here is not taken (")
    assert refused("./parrot")  # a path says which


def test_a_shipped_name_unless_there_is_such_a_path(read, refused, caplog):
    assert (read("parrot") == LIME).all()
    assert "no such file" in refused("../shipped/parrot")
    Image.new("RGB", (20, 20), RED).save("parrot", "PNG")
    with caplog.at_level(logging.WARNING):
        assert (read("parrot") == RED).all()
    assert caplog.messages == ["query=parrot: is the file here, not the shipped picture of that name"]
    assert (read("lighthouse") == BLUE).all()


NAMES = ["two words.png", "a=b,(a) [b] {c}*?.png", "Käfer 图.png", "-.png", "%s.png", "no suffix", "~/a.png"]


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"caf\xe9\r\n.png")])
def test_names(read, refused, name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert refused(name) == "no such file; of the shipped pictures, use one of lighthouse, parrot"
    with open(os.path.expanduser(name), "wb") as file:
        picture().save(file, "PNG")
    assert (read(name) == np.asarray(picture())).all(), "of the right size it is unchanged"


def test_standard_input(read, refused, monkeypatch):
    def pipe(data):
        monkeypatch.setattr(sys, "stdin", data and types.SimpleNamespace(buffer=io.BytesIO(data[0])))

    pipe([encoded(picture(), "PNG")])
    for _ in range(2):  # every job of a sweep reads it
        assert (read("-") == np.asarray(picture())).all()
    pipe([b""])
    assert refused("-") == "standard input is empty, a picture is needed"
    pipe([b"hello"])
    assert "not a picture" in refused("-")
    pipe(None)
    assert "nothing is piped" in refused("-")


def test_a_pipe(read):
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(encoded(picture(), "PNG")))
    writer.start()
    assert (read("pipe") == np.asarray(picture())).all()
    writer.join()


# kinds of picture


@pytest.mark.parametrize("kind", KINDS)
def test_formats(read, kind, caplog):
    Image.new("RGB", (20, 20), (200, 100, 50)).save("a.bin", kind)
    assert abs(read("a.bin") - (200, 100, 50)).max() <= 4
    assert not caplog.records


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_frame_of_several(read, kind, caplog):
    first, *others = (Image.new("RGB", (16, 16), colour) for colour in (RED, LIME, BLUE))
    Path("a.bin").write_bytes(encoded(first, kind, others, **({"lossless": True} if kind == "WEBP" else {})))
    with caplog.at_level(logging.WARNING):
        assert abs(read("a.bin") - RED).max() <= 4
    assert [record.getMessage() for record in caplog.records] == [
        "query=a.bin: holds several frames, the first is used"
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(read, orientation):
    stored = picture(SIZE, SIZE + 5)
    stored.save("a.png", exif=oriented(orientation))
    turned = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
        8: np.rot90,
    }[orientation]
    Image.fromarray(np.ascontiguousarray(turned(np.asarray(stored)))).save("upright.png")
    assert (read("a.png") == read("upright.png")).all()


@pytest.mark.parametrize("odd", [False, True])
def test_exif_of_a_photograph(read, odd):
    """Also where the maker's name is a number, which the ImageOps.exif_transpose of Pillow 13 cannot write again."""
    exif = oriented(6)  # stored turned to the left, to be turned to the right
    exif[0x010F] = "maker"
    data = encoded(picture(), "JPEG", exif=exif)
    text, number = struct.pack(">HHI", 0x010F, 2, 6), struct.pack(">HHI", 0x010F, 11, 1)
    assert data.count(text) == 1
    Path("a.jpg").write_bytes(data.replace(text, number) if odd else data)
    assert (read("a.jpg") == np.rot90(np.asarray(Image.open(io.BytesIO(data))), -1)).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled(read, kind):
    ramp = np.arange(256 * 256, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(ramp).save("a.bin", kind)
    assert (read("a.bin", 256) == np.rint(ramp / 257)[..., None]).all()


@pytest.mark.parametrize(
    ("values", "white", "odd"),
    [
        (np.linspace(0, 65535, SIZE * SIZE, dtype=np.int32), 65535, (-1, 65536)),
        (np.linspace(0, 1, SIZE * SIZE, dtype=np.float32), 1, (-0.1, 1.1, 255, np.nan, np.inf)),
    ],
)
def test_32_bits_are_scaled_or_refused(read, refused, values, white, odd):
    values = values.reshape(SIZE, SIZE)
    Image.fromarray(values).save("a.tif")
    assert (read("a.tif") == np.rint(values / (white / 255))[..., None]).all()
    for wrong in odd:
        values[3, 3] = wrong
        Image.fromarray(values).save("a.tif")
        assert f"0 to {white} are read" in refused("a.tif")


def test_16_bits_by_hand(read):
    """Colours lose their lower byte; the transparent value of a grey picture is no other, however near."""
    rows = np.full((8, 8, 3), (0xFF12, 0x8034, 0x0056), ">u2")
    Path("a.png").write_bytes(png(8, 8, 16, 2, b"".join(b"\0" + row.tobytes() for row in rows)))
    assert (read("a.png", 8) == (0xFF, 0x80, 0)).all()
    rows = np.repeat(np.array([0, 1], ">u2"), 32).reshape(8, 8)
    transparent = b"\0\0\0\2tRNS\0\0" + struct.pack(">I", zlib.crc32(b"tRNS\0\0"))
    Path("a.png").write_bytes(png(8, 8, 16, 0, b"".join(b"\0" + row.tobytes() for row in rows), transparent))
    assert (read("a.png", 8)[:4] == 255).all() and (read("a.png", 8)[4:] == 0).all()


@pytest.mark.parametrize("kind, options", [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})])
def test_transparency_lies_on_white(read, kind, options):
    red = Image.new("RGBA", (16, 16), (*RED, 0))
    red.paste((*RED, 255), (4, 0, 8, 16))
    red.paste((*RED, 128), (8, 0, 16, 16))
    red.save("a.bin", kind, **options)
    expected = [WHITE] * 4 + [RED] * 4 + [(255, 127, 127)] * 8
    assert (read("a.bin") == np.array(expected)).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_transparency(read, kind):
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 200, 100, 0])
    palette.paste(0, (0, 0, 16, 8))
    for options, value in ({"transparency": 0}, 255), ({}, 0):
        palette.save("a.bin", kind, **options)
        assert (read("a.bin")[:8] == value).all()
        assert (read("a.bin")[8:] == (200, 100, 0)).all()


@pytest.mark.parametrize(
    ("mode", "upper", "lower", "shown"),
    [("L", 77, 78, (77, 78)), ("1", 1, 0, (255, 0)), ("LA", (40, 255), (0, 0), (40, 255))],
)
def test_grey(read, mode, upper, lower, shown):
    grey = Image.new(mode, (16, 16), lower)
    grey.paste(upper, (0, 0, 16, 8))
    grey.save("a.png")
    assert (read("a.png")[:8] == shown[0]).all() and (read("a.png")[8:] == shown[1]).all()


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "off"),
    [
        ("CMYK", (0, 255, 255, 0), "JPEG", 3),
        ("CMYK", (0, 255, 255, 0), "TIFF", 3),
        ("LAB", (136, 128 + 80, 128 + 67), "TIFF", 60),
        ("YCbCr", (76, 85, 255), "TIFF", 60),
    ],
)
def test_red_of_other_colour_spaces(read, mode, colour, kind, off):
    Image.new(mode, (16, 16), colour).save("a.bin", kind)
    assert abs(read("a.bin") - RED).max() <= off


# sizes


@pytest.mark.parametrize("width, height", [(40, 16), (16, 40), (41, 16), (16, 2000), (5000, 16)])
def test_the_centre_is_cropped(read, width, height):
    picture(width, height).save("a.png")
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    assert (read("a.png") == np.asarray(picture(width, height))[top : top + SIZE, left : left + SIZE]).all()


def test_shrinking_is_antialiased_and_enlarging_is_smooth(read):
    Image.fromarray((np.indices((160, 160)).sum(0) % 2 * 255).astype(np.uint8)).save("board.png")
    assert abs(read("board.png") - 127.5).max() <= 2
    Image.fromarray(np.repeat(np.arange(0, 256, 32, dtype=np.uint8)[None], 8, 0)).save("ramp.png")
    row = read("ramp.png", 64)[0, :, 0]
    assert (np.diff(row[8:56]) >= 0).all() and len(set(row[8:56])) > 30
    assert row[0] < 10 and row[-1] > 215


@pytest.mark.parametrize("width, height", [(1, 1), (7, 7), (7, 100), (100, 1)])
def test_too_small(refused, width, height):
    picture(width, height).save("a.png")
    assert refused("a.png") == f"the picture is {width} x {height} pixels, at least 8 x 8 are needed"


@pytest.mark.parametrize(
    "width, height, says", [(60000, 60000, "is too large"), (12000, 9000, "is 12000 x 9000 pixels")]
)
def test_too_large_is_seen_in_the_header(refused, width, height, says):
    Path("a.png").write_bytes(png(width, height, 8, 2, b"\0" * 10**6))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert refused("a.png") == f"the picture {says}, at most 100 megapixels are read"
    assert time.monotonic() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


# files that cannot be read


def test_what_is_no_file(refused, tmp_path):
    os.mkdir("dogs.png")
    assert refused("dogs.png") == refused(".") == "is a folder, the path of one picture is needed"
    assert "no such file" in refused("") and "no such file" in refused("a" * 5000)
    with pytest.raises(ValueError, match=r"^query=[^;]*no such file$"):
        load(tmp_path / "dog.png", SIZE, tmp_path / "none")  # where nothing is shipped


def test_a_file_that_may_not_be_read(refused):
    picture().save("a.png")
    os.chmod("a.png", 0)
    with contextlib.ExitStack() as restore:
        if os.geteuid() == 0:  # whom no mode keeps out
            os.seteuid(65534)
            restore.callback(os.seteuid, 0)
        assert refused("a.png") == "cannot be read: Permission denied"


def test_an_empty_file(refused):
    Path("a.png").touch()
    assert refused("a.png") == "the file is empty, a picture is needed"


@pytest.mark.parametrize("kind", KINDS)
def test_cut_off(refused, kind):
    data = encoded(picture(64, 64), kind)
    for length in {1, 8, 20, 30, *(len(data) * i // 20 for i in range(1, 19))}:
        Path("a.png").write_bytes(data[:length])
        assert "cut off" in refused("a.png"), length


@pytest.mark.parametrize(
    "kind, frames", [(kind, 1) for kind in KINDS] + [(kind, 3) for kind in ("PNG", "GIF", "WEBP", "TIFF", "AVIF")]
)
def test_damaged_files_raise_nothing_else(read, kind, frames):
    exif = {"exif": oriented(6)} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}
    data = encoded(picture(), kind, [picture(seed=seed) for seed in range(1, frames)], **exif)
    rng = np.random.default_rng(0)
    for i in range(120):  # the kinds of errors that 200 show have all come by then
        damaged = bytearray(data[: len(data) if i % 2 else rng.integers(1, len(data))])
        for at in rng.integers(0, min(len(damaged), rng.choice([60, len(data)])), rng.integers(0, 8)):
            damaged[at] = rng.choice([0, 255, rng.integers(256)])
        Path("a.bin").write_bytes(damaged)
        with contextlib.suppress(ValueError):
            read("a.bin")
