"""Where things are: the salient object, the border, the corners. Positions and sizes are fractions of the picture."""

import torch
import torch.nn.functional as F

from equidiff_cli.audit.attributes.attribute import pictured
from equidiff_cli.audit.attributes.colour import lab

BORDER = 1 / 8  # of the side
CORNER = 5 / 32
SMALLEST = 1e-9


def saliency(x):
    """Weights (N, H, W), sum 1: distance in CIELAB from the mean colour of the border, squared, smoothed; what stands
    out from its surroundings (frequency-tuned saliency, Achanta et al. 2009, against the border)."""
    colours, edge = lab(x), frame(x)
    behind = (colours * edge).sum((2, 3), keepdim=True) / edge.sum()
    far = F.avg_pool2d(
        (colours - behind).square().sum(1, keepdim=True), 3, stride=1, padding=1, count_include_pad=False
    )
    return (far / far.sum((2, 3), keepdim=True).clamp_min(SMALLEST))[:, 0]


def frame(x):
    """1 (H, W) at most `BORDER` from the border, 0 inside."""
    height, width = x.shape[-2:]
    rows, columns = (max(1, round(side * BORDER)) for side in (height, width))
    edge = torch.ones(height, width, dtype=x.dtype, device=x.device)
    edge[rows:-rows, columns:-columns] = 0
    return edge


def places(x):
    """Rows and columns (H,), (W,) of pixels, in (0, 1)."""
    return ((torch.arange(side, dtype=x.dtype, device=x.device) + 0.5) / side for side in x.shape[-2:])


def middle(x):
    """The centre of the saliency (N, 2): down, across."""
    weights, (rows, columns) = saliency(x), places(x)
    return torch.stack([(weights.sum(2) * rows).sum(1), (weights.sum(1) * columns).sum(1)], 1)


def down(x):
    return middle(x)[:, 0]


def across(x):
    return middle(x)[:, 1]


def size(x):
    """The share of the picture that the saliency fills: 1 / (HW sum w^2), in (0, 1], the participation ratio."""
    weights = saliency(x)
    return 1 / (weights.square().sum((1, 2)) * weights[0].numel()).clamp_min(1)


def extent(x):
    """Root mean square distance of the saliency from its centre: small for a compact object."""
    weights, (rows, columns), centre = saliency(x), places(x), middle(x)
    far = (rows - centre[:, :1]).square()[:, :, None] + (columns - centre[:, 1:]).square()[:, None]
    return (weights * far).sum((1, 2)).sqrt()


def border(index):
    """The mean of a channel of CIELAB over the border."""

    def of(x):
        edge = frame(x)
        return (lab(x)[:, index] * edge).sum((1, 2)) / edge.sum()

    return of


def border_contrast(x):
    """Lightness of the border less that of the inside."""
    edge, light = frame(x), lab(x)[:, 0]
    return (light * edge).sum((1, 2)) / edge.sum() - (light * (1 - edge)).sum((1, 2)) / (1 - edge).sum()


def border_variation(x):
    """Standard deviation of the lightness of the border."""
    edge, light = frame(x).bool(), lab(x)[:, 0]
    return light[:, edge].std(1, unbiased=False)


def corner(vertical, horizontal):
    """Lightness of a corner less that of the whole picture; `vertical` and `horizontal` are 0 or -1."""

    def of(x):
        light = lab(x)[:, 0]
        rows, columns = (max(1, round(side * CORNER)) for side in x.shape[-2:])
        part = light[:, :rows] if vertical == 0 else light[:, -rows:]
        part = part[:, :, :columns] if horizontal == 0 else part[:, :, -columns:]
        return part.mean((1, 2)) - light.mean((1, 2))

    return of


OBJECT = "colour distance from the border (after Achanta et al. 2009)"
CORNERS = {"top_left": (0, 0), "top_right": (0, -1), "bottom_left": (-1, 0), "bottom_right": (-1, -1)}
LAYOUT = (
    pictured("object_height", "height of the object", "high up", "low down", down, OBJECT),
    pictured("object_side", "side of the object", "at the left", "at the right", across, OBJECT),
    pictured("object_size", "size of the object", "small", "large", size, OBJECT),
    pictured("object_extent", "extent of the object", "compact", "spread out", extent, OBJECT),
    pictured("border_lightness", "lightness of the border", "dark border", "light border", border(0), "CIELAB"),
    pictured("border_red_green", "border from green to red", "green border", "red border", border(1), "CIELAB"),
    pictured("border_yellow_blue", "border from blue to yellow", "blue border", "yellow border", border(2), "CIELAB"),
    pictured("border_contrast", "border against inside", "darker border", "lighter border", border_contrast, "CIELAB"),
    pictured("border_variation", "variation along the border", "plain", "varied", border_variation, "CIELAB"),
    *(
        pictured(
            f"corner_{name}", f"{name.replace('_', ' ')} corner", "dark corner", "light corner", corner(*at), "CIELAB"
        )
        for name, at in CORNERS.items()
    ),
)
