"""Maps as pictures: the picture in grey, and over it red what speaks for the value and blue what speaks against it."""

import numpy as np
from PIL import Image

FOR, AGAINST = np.array([214.0, 40.0, 40.0]), np.array([33.0, 102.0, 204.0])
FULL = 0.99  # quantile of the absolute map that has the full colour; few places would hide all others


def overlay(picture, found):
    """An RGB picture of a map (H, W) over a picture (3, H, W) in [0, 1]."""
    grey = 255 * (0.25 + 0.75 * picture.mean(0).numpy())[..., None]
    found = found.numpy()
    scale = np.quantile(np.abs(found), FULL) or np.abs(found).max() or 1.0
    weight = np.clip(np.abs(found) / scale, 0, 1)[..., None] * 0.85
    colour = np.where(found[..., None] > 0, FOR, AGAINST)
    return Image.fromarray(np.round((1 - weight) * grey + weight * colour).astype(np.uint8))
