"""Whether members keep the value when their pictures are handled, beside the query's own."""

import functools

import torch
import torch.nn.functional as F

from equidiff_cli.metrics.interval import bootstrap
from equidiff_cli.pictures.perturb import half_pixel_shift, jpeg

NOISE = 8 / 255  # standard deviation
BLUR = 1.0  # pixels, standard deviation
CROP = 1 / 16  # of the side, cut off at each border and enlarged again
KEPT = 0.5  # null spreads within which a value counts as kept


def blurred(x, sigma=BLUR):
    """Gaussian blur with mirrored borders."""
    reach = int(3 * sigma + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device) / sigma).square())
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
    x = F.pad(x, (reach,) * 4, mode="reflect")
    x = F.conv2d(x, kernel[:, :, None], groups=x.shape[1])
    return F.conv2d(x, kernel[..., None], groups=x.shape[1])


def noisy(x, seed):
    """Gaussian noise of `NOISE`, the same for every picture, clamped to [0, 1]."""
    noise = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(seed))
    return (x + NOISE * noise.to(x.device, x.dtype)).clamp(0, 1)


def cropped(x):
    """`CROP` cut off at each border, enlarged to the same size."""
    rows, columns = (max(1, round(side * CROP)) for side in x.shape[-2:])
    inside = x[..., rows:-rows, columns:-columns]
    return F.interpolate(inside, size=x.shape[-2:], mode="bilinear", align_corners=False, antialias=True)


def robustness(subject):
    """A row a handling: the median error of members after it in null spreads, the share that keeps the value, and the
    query's own error, None without a query."""
    case, seed = subject.case, subject.case.options.seed
    handlings = {
        "saved": ("as saved", lambda x: x),
        "jpeg_75": ("JPEG of quality 75", functools.partial(jpeg, quality=75)),
        "shift": ("a shift by half a pixel", half_pixel_shift),
        "blur": ("a blur of 1 pixel", blurred),
        "noise": ("noise of 8 levels of 255", functools.partial(noisy, seed=seed)),
        "crop": ("a crop of a sixteenth at each border", cropped),
    }
    rows = []
    for name, (title, handled) in handlings.items():
        errors = case.errors(handled(subject.members.pictures))
        own = (
            None if case.no_query else case.off(case.measure(handled(case.query.pictures)), case.query.values[0]).item()
        )
        low, high = bootstrap(errors, lambda found: found.double().quantile(0.5, dim=-1), seed)
        rows.append(
            {
                "name": name,
                "title": title,
                "error": errors.double().quantile(0.5).item(),
                "interval": [low, high],
                "kept": (errors <= KEPT).double().mean().item(),
                "query": own,
            }
        )
    return rows
