"""Intact files of kinds that are not read are named by their leading bytes, whatever their names say."""

import io
import sys

import pytest
from PIL import Image, features

from equidiff_cli.pictures import kinds
from equidiff_cli.pictures.read import load

HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(100)
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf" + bytes(100)


def by_pillow(kind):
    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, kind)
    return file.getvalue()


KINDS = {
    "a Photoshop document (PSD)": b"8BPS\0\1" + bytes(100),
    "an SVG drawing": b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- of mine -->\n<svg width='9'/>",
    "a PDF document": b"%PDF-1.4\n",
    "a PostScript file (EPS)": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "a JPEG XL picture": b"\xff\x0a" + bytes(50),
    "a picture of the kind ICO": by_pillow("ICO"),
    "a picture of the kind TGA": by_pillow("TGA"),
    "a picture of the kind PCX": by_pillow("PCX"),
    "a DICOM file": bytes(128) + b"DICM" + bytes(50),
    "a Canon raw picture (CR3)": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(50),
    "an MPEG-4 video": b"\0\0\0\x18ftypisom\0\0\0\1isommp42" + bytes(50),
    "a QuickTime video": b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(50),
    "not a picture but WAVE sound": b"RIFF\x24\0\0\0WAVEfmt " + bytes(30),
    "not a picture but MP3 sound": b"ID3\4\0" + bytes(30),
    "not a picture but a Matroska or WebM video": b"\x1aE\xdf\xa3" + bytes(30),
    "not a picture but a web page": b"\n<!DOCTYPE html>\n<html><svg/></html>",
    "not a picture but XML": b"<?xml version='1.0'?><annotation/>",
    "not a picture but a git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
    "not a picture but a ZIP archive": b"PK\x03\x04" + bytes(30),
    "not a picture but a NumPy array": b"\x93NUMPY\1\0" + bytes(30),
    "not a picture but text": b'{"images": ["a.png", "b.png", "c.png"], "labels": [0, 1, 2], "name": "x"}',
}


def refused(tmp_path, data):
    (tmp_path / "cat.jpg").write_bytes(data)
    with pytest.raises(ValueError) as caught:
        load(tmp_path / "cat.jpg", 16, tmp_path)
    line = str(caught.value)
    assert line.startswith(f"query={tmp_path / 'cat.jpg'}: ") and len(line.splitlines()) == 1
    return line.partition(": ")[2]


@pytest.mark.parametrize("name", KINDS)
def test_a_disguised_file_is_named(tmp_path, name):
    says = refused(tmp_path, KINDS[name])
    assert says.startswith(f"is {name}") and says.endswith(
        "; PNG, JPEG, GIF, WEBP, BMP, TIFF, PPM, AVIF, JPEG2000 are read"
    )


def test_what_needs_a_package_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    extra = "pip install 'equidiff[pictures]'"
    assert refused(tmp_path, HEIC) == f"is a HEIC picture, which needs another package: {extra}"
    assert extra in refused(tmp_path, b"II*\0" + bytes(50))


def test_avif_is_not_taken_for_heic(tmp_path, monkeypatch):
    assert features.check("avif") and "cut off" in refused(tmp_path, AVIF)
    monkeypatch.setattr(kinds, "AVIF_IS_READ", False)
    assert kinds.named(AVIF).startswith("an AVIF picture")


@pytest.mark.parametrize("data", [b"x", b"hello", bytes(3000), bytes(range(7, 207)) * 9])
def test_what_is_not_known_is_not_guessed(tmp_path, data):
    assert refused(tmp_path, data).startswith("not a picture, or cut off; PNG")
