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

import numpy as np
import pytest
import torch
from PIL import Image

from equidiff_cli.pictures.convert import to_image, to_tensor
from equidiff_cli.pictures.read import load

SIZE = 16


@pytest.fixture
def shipped(tmp_path):
    folder = tmp_path / "shipped"
    folder.mkdir()
    Image.new("RGB", (32, 32), "lime").save(folder / "parrot.png")
    Image.new("RGB", (32, 32), "blue").save(folder / "lighthouse.png")
    return folder


@pytest.fixture
def read(shipped, tmp_path, monkeypatch):
    """Call `load` in an empty folder: (query) -> array (SIZE, SIZE, 3)."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(name, size=SIZE):
        image = load(name, size, shipped)
        assert (image.mode, image.size) == ("RGB", (size, size))
        return np.asarray(image).astype(int)

    return call


@pytest.fixture
def refused(read):
    """Call `load`, which must fail: (query) -> what its one line says after `query=<value>: `."""

    def call(name):
        with pytest.raises(ValueError) as caught, warnings.catch_warnings():
            warnings.simplefilter("error")
            read(name)
        assert type(caught.value) is ValueError
        line = str(caught.value)
        assert line.isprintable()
        assert line.startswith("query=")
        return line.partition(": ")[2]

    return call


def picture(width=SIZE, height=SIZE, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width, height, depth, colour, rows, extra=b""):
    """A PNG by hand: what its header claims need not be true."""

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# where it comes from


def test_a_picture_of_the_right_size_is_unchanged(read):
    picture().save("a.png")
    assert (read("a.png") == np.asarray(picture())).all()


def test_a_shipped_name(read):
    assert (read("parrot") == (0, 255, 0)).all()


def test_a_path_that_exists_wins_over_a_shipped_name(read):
    Image.new("RGB", (20, 20), "red").save("parrot", "PNG")
    assert (read("parrot") == (255, 0, 0)).all()
    assert (read("lighthouse") == (0, 0, 255)).all()


def test_a_shipped_name_is_no_path(read, refused):
    assert "no such file" in refused("../shipped/parrot")


def test_the_home_folder(read, tmp_path, monkeypatch):
    picture().save(tmp_path / "a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (read("~/a.png") == np.asarray(picture())).all()


@pytest.mark.parametrize(
    "name",
    [
        "two words.png",
        "a=b.png",
        "a,b.png",
        "(a) [b] {c}.png",
        "a*?.png",
        "Käfer 图.png",
        "-.png",
        "%s.png",
        "no suffix",
    ],
)
def test_names(read, refused, name):
    picture().save(name, "PNG")
    assert (read(name) == np.asarray(picture())).all()
    os.remove(name)
    assert "no such file" in refused(name)


def test_a_name_that_is_not_text(read, refused):
    name = os.fsdecode(b"caf\xe9\n.png")
    assert "no such file" in refused(name)
    with open(name, "wb") as file:
        picture().save(file, "PNG")
    assert (read(name) == np.asarray(picture())).all()
    assert "no such file (similar there: caf\\udce9\\n.png)" in refused(os.fsdecode(b"caf\xe9\n.jpg"))


def test_standard_input(read, monkeypatch):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(encoded(picture(), "PNG"))))
    for _ in range(2):  # every job of a sweep reads it
        assert (read("-") == np.asarray(picture())).all()


def test_standard_input_without_a_picture(refused, monkeypatch):
    for data, says in [
        (b"", "standard input is empty"),
        (b"hello", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "cut off"),
    ]:
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))
        assert says in refused("-")
    monkeypatch.setattr(sys, "stdin", None)
    assert "nothing is piped" in refused("-")


def test_a_pipe(read):
    os.mkfifo("pipe")

    def write():
        with open("pipe", "wb") as file:
            file.write(encoded(picture(), "PNG"))

    writer = threading.Thread(target=write)
    writer.start()
    assert (read("pipe") == np.asarray(picture())).all()
    writer.join()


# kinds of picture


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "JPEG"])
def test_formats(read, kind):
    Image.new("RGB", (20, 20), (200, 100, 50)).save("a.bin", kind)
    assert abs(read("a.bin") - (200, 100, 50)).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(read, orientation):
    stored = picture(SIZE, SIZE + 5)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save("a.png", exif=exif)
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


def test_exif_orientation_in_a_photograph(read):
    upright = Image.new("RGB", (64, 64), "white")
    upright.paste("red", (0, 0, 64, 32))  # red above, white below
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned to the left, to be turned to the right
    upright.transpose(Image.Transpose.ROTATE_90).save("a.jpg", exif=exif, quality=95, subsampling=0)
    upright.save("upright.png")
    assert abs(read("a.jpg") - read("upright.png")).max() < 10


def test_odd_exif_beside_the_orientation(read):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    data = encoded(picture(), "JPEG", exif=exif)
    # The maker's name becomes a number, which the ImageOps.exif_transpose of Pillow 13 cannot write again.
    text, number = struct.pack(">HHI", 0x010F, 2, 6), struct.pack(">HHI", 0x010F, 11, 1)
    assert data.count(text) == 1
    data = data.replace(text, number)
    with open("a.jpg", "wb") as file:
        file.write(data)
    stored = np.asarray(Image.open(io.BytesIO(data)))
    assert (read("a.jpg") == np.rot90(stored, -1)).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled(read, kind):
    side = 256
    ramp = np.arange(side * side, dtype=np.uint16).reshape(side, side)
    Image.fromarray(ramp).save("a.bin", kind)
    grey = read("a.bin", side)
    assert (grey[..., 0] == np.rint(ramp / 257)).all()
    assert (grey == grey[..., :1]).all()
    flat = grey[..., 0].ravel()
    assert (np.diff(flat) >= 0).all()
    assert (flat[0], flat[-1], len(set(flat))) == (0, 255, 256)


def test_32_bit_integers(read, refused):
    values = np.linspace(0, 65535, SIZE * SIZE, dtype=np.int32).reshape(SIZE, SIZE)
    Image.fromarray(values).save("a.tif")
    assert (read("a.tif")[..., 0] == np.rint(values / 257)).all()
    for wrong in (-1, 65536):
        values[3, 3] = wrong
        Image.fromarray(values).save("a.tif")
        assert "0 to 65535 are read" in refused("a.tif")


def test_floats(read, refused):
    values = np.linspace(0, 1, SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE)
    Image.fromarray(values).save("a.tif")
    assert (read("a.tif")[..., 0] == np.rint(values * 255)).all()
    for wrong in (-0.1, 1.1, 255, np.nan, np.inf):
        values[3, 3] = wrong
        Image.fromarray(values).save("a.tif")
        assert "0 to 1 are read" in refused("a.tif")


def test_16_bit_colours(read):
    rows = np.full((8, 8, 3), (0xFF12, 0x8034, 0x0056), ">u2")
    with open("a.png", "wb") as file:
        file.write(png(8, 8, 16, 2, b"".join(b"\0" + row.tobytes() for row in rows)))
    assert (read("a.png", 8) == (0xFF, 0x80, 0)).all()


def test_transparency_lies_on_white(read):
    red = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    red.paste((255, 0, 0, 255), (4, 0, 8, 16))
    red.paste((255, 0, 0, 128), (8, 0, 16, 16))
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        red.save("a.bin", kind, **options)
        seen = read("a.bin")
        assert (seen[:, :4] == 255).all()
        assert (seen[:, 4:8] == (255, 0, 0)).all()
        assert (seen[:, 8:] == (255, 127, 127)).all()


def test_grey_with_transparency(read):
    grey = Image.new("LA", (16, 16), (0, 0))
    grey.paste((40, 255), (0, 0, 16, 8))
    grey.save("a.png")
    assert (read("a.png")[:8] == 40).all()
    assert (read("a.png")[8:] == 255).all()


def test_16_bit_grey_with_a_transparent_value(read):
    rows = np.zeros((8, 8), ">u2")
    rows[4:] = 1  # nearly as black, but opaque
    transparent = b"\0\0\0\2tRNS\0\0" + struct.pack(">I", zlib.crc32(b"tRNS\0\0"))
    with open("a.png", "wb") as file:
        file.write(png(8, 8, 16, 0, b"".join(b"\0" + row.tobytes() for row in rows), transparent))
    assert (read("a.png", 8)[:4] == 255).all()
    assert (read("a.png", 8)[4:] == 0).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_transparency(read, kind):
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 200, 100, 0])
    palette.paste(0, (0, 0, 16, 8))
    palette.save("a.bin", kind, transparency=0)
    assert (read("a.bin")[:8] == 255).all()
    assert (read("a.bin")[8:] == (200, 100, 0)).all()
    palette.save("a.bin", kind)
    assert (read("a.bin")[:8] == 0).all()


def test_grey_and_1_bit(read):
    Image.new("L", (16, 16), 77).save("a.png")
    assert (read("a.png") == 77).all()
    bits = Image.new("1", (16, 16), 0)
    bits.paste(1, (0, 0, 8, 16))
    bits.save("a.png")
    assert (read("a.png")[:, :8] == 255).all()
    assert (read("a.png")[:, 8:] == 0).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_red_stays_red(read, kind):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save("a.bin", kind)
    assert abs(read("a.bin") - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("mode, colour", [("LAB", (136, 128 + 80, 128 + 67)), ("YCbCr", (76, 85, 255))])
def test_other_colour_spaces(read, mode, colour):
    Image.new(mode, (16, 16), colour).save("a.tif")
    red, green, blue = read("a.tif")[0, 0]
    assert red > 200 and max(green, blue) < 60


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_frame_of_several(read, kind, caplog):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save("a.bin", kind, save_all=True, append_images=frames[1:], **options)
    with caplog.at_level(logging.WARNING):
        assert abs(read("a.bin") - (255, 0, 0)).max() <= 4
    assert [(r.name, r.getMessage()) for r in caplog.records] == [
        ("equidiff_cli.query", "query=a.bin: holds several frames, the first is used")
    ]


def test_no_warning_for_one_frame_or_a_camera_preview(read, caplog):
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        picture().save("a.bin", kind)
        read("a.bin")
    picture(64, 64).save("a.jpg", "MPO", save_all=True, append_images=[picture()])
    read("a.jpg")
    assert not caplog.records


# sizes


@pytest.mark.parametrize("width, height", [(40, 16), (16, 40), (41, 16), (16, 2000), (5000, 16)])
def test_the_centre_is_cropped(read, width, height):
    picture(width, height).save("a.png")
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    assert (read("a.png") == np.asarray(picture(width, height))[top : top + SIZE, left : left + SIZE]).all()


def test_shrinking_is_antialiased(read):
    board = (np.indices((160, 160)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save("a.png")
    assert abs(read("a.png") - 127.5).max() <= 2


def test_enlarging(read):
    Image.fromarray(np.repeat(np.arange(0, 256, 32, dtype=np.uint8)[None], 8, 0)).save("a.png")
    rows = read("a.png", 64)
    assert (np.diff(rows[0, 8:56, 0]) >= 0).all()
    assert rows[0, 0, 0] < 10 and rows[0, -1, 0] > 215


@pytest.mark.parametrize("width, height", [(1, 1), (7, 7), (7, 100), (100, 1)])
def test_too_small(refused, width, height):
    picture(width, height).save("a.png")
    assert refused("a.png") == f"the picture is {width} x {height} pixels, at least 8 x 8 are needed"


@pytest.mark.parametrize(
    "width, height, says", [(60000, 60000, "3600 megapixels"), (12000, 9000, "12000 x 9000 pixels (108.0")]
)
def test_too_large_is_seen_in_the_header(refused, width, height, says):
    with open("a.png", "wb") as file:
        file.write(png(width, height, 8, 2, b"\0" * 10**6))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    message = refused("a.png")
    assert says in message and "at most 100 megapixels are read" in message
    assert time.monotonic() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


# files that cannot be read


def test_a_missing_file(read, refused):
    assert refused("x/dog.png") == (
        "no such file (x: No such file or directory); of the shipped pictures, use one of lighthouse, parrot"
    )
    for name in ("Dogs.PNG", "house.jpg"):
        picture().save(name)
    for name in ("dog.png", "DOG.PNG"):
        assert "(similar there: Dogs.PNG);" in refused(name)
    assert refused("parot") == "no such file; of the shipped pictures, use one of lighthouse, parrot"
    assert "(house.jpg: Not a directory)" in refused("house.jpg/x.png")
    assert "no such file" in refused("")


def test_a_missing_file_where_nothing_is_shipped(tmp_path):
    with pytest.raises(ValueError, match=r"^query=[^;]*no such file[^;]*$"):
        load(tmp_path / "dog.png", SIZE, tmp_path / "none")


def test_a_folder(refused):
    os.mkdir("dogs.png")
    assert refused("dogs.png") == "is a folder, the path of one picture is needed"
    assert "folder" in refused(".")


def test_names_that_no_file_can_have(refused):
    assert "File name too long" in refused("a" * 5000)
    assert "null" in refused("a\0b")


def test_a_file_that_may_not_be_read(refused):
    picture().save("a.png")
    os.chmod("a.png", 0)
    with contextlib.ExitStack() as restore:
        if os.geteuid() == 0:  # whom no mode keeps out
            os.seteuid(65534)
            restore.callback(os.seteuid, 0)
        assert refused("a.png") == "cannot be read: Permission denied"


@pytest.mark.parametrize(
    "data, says",
    [
        (b"", "the file is empty"),
        (b"not a picture at all\n", "not a picture"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n", "not a picture"),
        (b"\x93NUMPY" + bytes(100), "not a picture"),
        (b"PK\x03\x04" + bytes(100), "not a picture"),
    ],
)
def test_a_file_that_is_no_picture(refused, data, says):
    with open("a.png", "wb") as file:
        file.write(data)
    message = refused("a.png")
    assert says in message
    assert says == "the file is empty" or "PNG, JPEG, GIF, WEBP" in message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"])
def test_cut_off(refused, kind):
    data = encoded(picture(64, 64), kind)
    for length in {1, 8, 20, 30, *(len(data) * i // 20 for i in range(1, 19))}:
        with open("a.png", "wb") as file:
            file.write(data[:length])
        assert "cut off" in refused("a.png"), length


@pytest.mark.parametrize(
    "kind, frames",
    [(kind, 1) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")]
    + [(kind, 3) for kind in ("PNG", "GIF", "WEBP", "TIFF", "AVIF")],
)
def test_damaged_files_raise_nothing_else(read, kind, frames):
    several = {"save_all": True, "append_images": [picture(seed=1), picture(seed=2)]} if frames > 1 else {}
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(), kind, **several, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}))
    rng = np.random.default_rng(0)
    for i in range(200):
        damaged = bytearray(data[: len(data) if i % 2 else rng.integers(1, len(data))])
        for at in rng.integers(0, min(len(damaged), rng.choice([60, len(data)])), rng.integers(0, 8)):
            damaged[at] = rng.choice([0, 255, rng.integers(256)])
        with open("a.bin", "wb") as file:
            file.write(damaged)
        with contextlib.suppress(ValueError):
            read("a.bin")


def test_a_gif_animation_cut_anywhere(read):
    data = encoded(picture(8, 8), "GIF", save_all=True, append_images=[picture(8, 8, seed=1)])
    complete = 0
    for length in range(1, len(data)):
        with open("a.gif", "wb") as file:
            file.write(data[:length])
        with contextlib.suppress(ValueError):
            complete += (read("a.gif", 8) == np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).all()
    assert complete  # where only the second frame is cut


def test_an_avif_with_damaged_data(refused):
    data = encoded(picture(), "AVIF")
    start = data.index(b"mdat") + 4
    with open("a.avif", "wb") as file:
        file.write(data[:start] + bytes(len(data) - start))
    assert "damaged" in refused("a.avif")


def test_an_avif_animation_without_a_clock(refused):
    data = bytearray(encoded(picture(), "AVIF", save_all=True, append_images=[picture(seed=1)]))
    clock = data.index(b"mdhd") + 4 + 4 + 16  # behind the version and two dates of 8 bytes
    data[clock : clock + 4] = bytes(4)
    with open("a.avif", "wb") as file:
        file.write(data)
    assert "damaged" in refused("a.avif")


def test_the_file_is_closed(read, refused):
    with open("a.png", "wb") as file:
        file.write(encoded(picture(64, 64), "PNG")[:-100])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused("a.png")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    picture().save("b.png")
    for _ in range(5):
        refused("a.png")
        read("b.png")
    assert not before or len(os.listdir("/proc/self/fd")) == before


# tensors


def test_round_trip_of_all_256_values():
    values = np.arange(256, dtype=np.uint8).reshape(8, 32)
    image = Image.fromarray(np.stack([values, values[::-1], 255 - values], -1))
    x = to_tensor(image)
    assert (x.shape, x.dtype, x.is_contiguous()) == ((3, 8, 32), torch.float32, True)
    assert (x[0].flatten() == torch.arange(256) / 255).all()
    assert (x.min(), x.max()) == (0, 1)
    assert to_image(x).mode == "RGB"
    assert (np.asarray(to_image(x)) == np.asarray(image)).all()
    x[:] = 0  # the picture keeps its own memory
    assert np.asarray(image).any()


def test_to_image_rounds_and_clamps():
    x = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 7.0, float("nan")], requires_grad=True)
    image = to_image(x.expand(3, 2, 6))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 1, 255, 255, 0]
    assert (np.asarray(to_image(torch.full((3, 2, 2), 0.5, dtype=torch.bfloat16))) == 128).all()
