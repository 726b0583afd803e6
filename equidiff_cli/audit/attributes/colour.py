"""Colour and brightness, in CIELAB (CIE 1976, D65): lightness 0 to 100, a from green to red, b from blue to yellow."""

import torch

from equidiff_cli.audit.attributes.attribute import pictured

TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)  # of linear sRGB (IEC 61966-2-1)
WHITE = (0.95047, 1.0, 1.08883)  # D65
EDGE = 6 / 29


def lab(x):
    """CIELAB (N, 3, H, W) of sRGB pictures (N, 3, H, W) in [0, 1]."""
    linear = torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("nchw,dc->ndhw", linear, x.new_tensor(TO_XYZ)) / x.new_tensor(WHITE)[:, None, None]
    f = torch.where(xyz > EDGE**3, xyz.clamp_min(EDGE**3) ** (1 / 3), xyz / (3 * EDGE**2) + 4 / 29)
    return torch.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def channel(index):
    """The mean of a channel of CIELAB, as a function of pictures."""
    return lambda x: lab(x)[:, index].mean((1, 2))


def saturation(x):
    """Mean chroma sqrt(a^2 + b^2), at least 0."""
    return lab(x)[:, 1:].norm(dim=1).mean((1, 2))


def colourfulness(x):
    """Hasler & Suesstrunk (2003), equation 7, of channels in 0 to 255."""
    red, green, blue = (255 * x).unbind(1)
    opposed = torch.stack([red - green, (red + green) / 2 - blue], 1).flatten(2)
    return opposed.std(2, unbiased=False).norm(dim=1) + 0.3 * opposed.mean(2).norm(dim=1)


def contrast(x):
    """Standard deviation of the lightness."""
    return lab(x)[:, 0].flatten(1).std(1, unbiased=False)


CIE = "CIELAB (CIE 1976), D65, mean over pixels"
COLOUR = (
    pictured("lightness", "lightness", "dark", "light", channel(0), CIE),
    pictured("red_green", "colour from green to red", "greenish", "reddish", channel(1), CIE),
    pictured("yellow_blue", "colour from blue to yellow", "bluish", "yellowish", channel(2), CIE),
    pictured("saturation", "saturation", "grey", "saturated", saturation, "mean chroma in CIELAB"),
    pictured("colourfulness", "colourfulness", "one colour", "many colours", colourfulness, "Hasler & Süsstrunk 2003"),
    pictured("contrast", "contrast", "flat", "contrasty", contrast, "standard deviation of CIELAB lightness"),
)
