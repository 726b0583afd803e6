"""The region of a picture: a mask in a file, a box, or what an attribution says."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from equidiff_cli.pictures.read import square, whole
from equidiff_cli.shipped import QUERIES

ATTRIBUTION = "attribution"


def region_of(region, query, size):
    """The region as (size, size) booleans, true in it; None for "attribution", which needs the target.

    A mask has the size of the query's file, and is cropped as that is, or size x size pixels already; it is in the
    region where it is lighter than the middle grey. `ValueError` in one line for what is neither, and for a region that
    is empty or everything.

    Args:
        region: the path of a mask, [left, top, right, bottom] in pixels of size x size, or "attribution".
        query: as it was given.
    """
    if region == ATTRIBUTION:
        return None
    inside = box(region, size) if isinstance(region, list) else masked(str(region), query, size)
    if inside.all() or not inside.any():
        what = "everything" if inside.any() else "empty"
        raise ValueError(f"region={region}: is {what} at {size} x {size} pixels; white is in the region, black is not")
    return inside


def box(region, size):
    """The pixels of [left, top, right, bottom]; right and bottom are the first outside."""
    whole_numbers = all(isinstance(edge, int) and not isinstance(edge, bool) for edge in region)
    if (
        len(region) != 4
        or not whole_numbers
        or not (0 <= region[0] < region[2] <= size)
        or not (0 <= region[1] < region[3] <= size)
    ):
        raise ValueError(
            f"region={region}: a box is [left,top,right,bottom], whole numbers from 0 to {size} with left below right"
            " and top below bottom"
        )
    inside = np.zeros((size, size), dtype=bool)
    inside[region[1] : region[3], region[0] : region[2]] = True
    return inside


def masked(region, query, size):
    """The white pixels of a mask's file."""
    path = os.path.expanduser(region)
    if not Path(path).is_file():
        raise ValueError(f"region={region}: no such file; give a mask, a box [left,top,right,bottom], or {ATTRIBUTION}")
    try:
        with Image.open(path) as image:
            mask = image.convert("L")
    except OSError:
        raise ValueError(f"region={region}: not a picture, or cut off; a mask is one, white in the region") from None
    of_query = whole(query, QUERIES)[0].size if query != "-" else (size, size)
    if mask.size not in (of_query, (size, size)):
        width, height = mask.size
        raise ValueError(
            f"region={region}: is {width} x {height} pixels, the query is {of_query[0]} x {of_query[1]}; a mask has the"
            f" query's size, or {size} x {size}"
        )
    if mask.size != (size, size):
        mask = square(mask, size)
    return np.array(mask) > 127
