"""What a file is by its leading bytes, whatever its name ends with: to say it where it is no picture that is read."""

import contextlib
import io
import re

from PIL import Image, features

HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
AVIF = (b"avif", b"avis")
BRANDS = {b"crx ": "a Canon raw picture (CR3)", b"qt  ": "a QuickTime video", b"M4A ": "MPEG-4 sound"}
PICTURES = {  # which are not read
    b"8BPS": "a Photoshop document (PSD)",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript file (EPS)",
    b"\xc5\xd0\xd3\xc6": "a PostScript file (EPS)",
    b"gimp xcf": "a GIMP picture (XCF)",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"v/1\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance picture (HDR)",
    b"#?RGBE": "a Radiance picture (HDR)",
    b"FUJIFILMCCD-RAW": "a Fujifilm raw picture (RAF)",
    b"IIRO": "an Olympus raw picture (ORF)",
    b"IIRS": "an Olympus raw picture (ORF)",
    b"IIU\0": "a Panasonic raw picture (RW2)",
    b"FOVb": "a Sigma raw picture (X3F)",
}
OTHERS = {
    b"version https://git-lfs": "a git-lfs pointer: the file itself was not fetched (git lfs pull)",
    b"ID3": "MP3 sound",
    b"\xff\xfb": "MP3 sound",
    b"fLaC": "FLAC sound",
    b"OggS": "Ogg sound or video",
    b"\x1aE\xdf\xa3": "a Matroska or WebM video",
    b"\0\0\x01\xba": "an MPEG video",
    b"FLV\x01": "a Flash video",
    b"0&\xb2u\x8ef\xcf\x11": "a Windows Media file",
    b"PK\x03\x04": "a ZIP archive, such as of documents, arrays or weights",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"\x7fELF": "a program",
}
TEXT = re.compile(rb"(?:\xef\xbb\xbf)?(?:<\?xml.*?\?>|<!--.*?-->|<!doctype svg.*?>|\s)*<([!\w:]+)", re.S | re.I)


def named(data):
    """In words what a file with these bytes is, of what is not read or needs a package; None if that is not known."""
    brands = _brands(data)
    if brands:
        if not AVIF_IS_READ and any(brand in AVIF for brand in brands):
            return "an AVIF picture, which an installation of Pillow without AVIF does not read"
        return None if any(brand in AVIF + HEIC for brand in brands) else BRANDS.get(brands[0], "an MPEG-4 video")
    if data[:4] == b"RIFF" and data[8:12] in (b"AVI ", b"WAVE"):
        return "not a picture but " + ("an AVI video" if data[8:12] == b"AVI " else "WAVE sound")
    if data[128:132] == b"DICM":
        return "a DICOM file, whose pictures other programs export"
    for start, name in PICTURES.items():
        if data.startswith(start):
            return name
    for start, name in OTHERS.items():
        if data.startswith(start):
            return f"not a picture but {name}"
    if element := TEXT.match(data[:4096]):
        tag = element[1].lower().rpartition(b":")[2]
        return {b"svg": "an SVG drawing"}.get(tag, f"not a picture but {'a web page' if tag in HTML else 'XML'}")
    return _by_pillow(data) or _text(data)


AVIF_IS_READ = features.check("avif")
HTML = (b"!doctype", b"html", b"head", b"body", b"title", b"script", b"meta")


def is_heic(data):
    """Whether a file says that it is HEIC; one of AVIF in the same container says that, too."""
    brands = _brands(data)
    return any(brand in HEIC for brand in brands) and not any(brand in AVIF for brand in brands)


def _brands(data):
    """What a file of the ISO base media format says of itself, the most important first."""
    if data[4:8] != b"ftyp" or len(data) < 12:
        return []
    length = min(int.from_bytes(data[:4]), 256)
    return [data[8:12], *(data[i : i + 4] for i in range(16, length - 3, 4))]


def _by_pillow(data):
    """One of the kinds that Pillow knows besides those that are read."""
    with contextlib.suppress(Exception), Image.open(io.BytesIO(data)) as image:  # whatever its plug-ins raise
        return f"a picture of the kind {image.format} ({image.format_description})"


def _text(data):
    """Any other text, of which no picture that is read is made."""
    with contextlib.suppress(UnicodeDecodeError):
        text = data[:4096].decode()
        if len(text) >= 64 and all(character.isprintable() or character.isspace() for character in text):
            return "not a picture but text"
