"""Low-pass filters `F` (line 10 of the algorithm): images (N, C, H, W) -> (N, C, H, W), linear and differentiable.

A filter is a gain over the radial frequency r = sqrt(fx^2 + fy^2) / 0.5 with fx and fy in cycles a pixel, so r = 1 is
Nyquist along an axis and r = sqrt(2) the corner. `cutoff` lies on the same scale, from 1e-6 to 1. The image is
continued by its mirror image, so nothing wraps around, a constant stays what it is and flips commute with the filter.
The three families are those of Gonzalez & Woods, "Digital Image Processing", chapter 4. Butterworth and ideal filters
overshoot at edges: an image in [0, 1] may leave that range by a little. `at(cutoff)` is the same kind of filter with
another cutoff, for an evaluation; of no filter it is a gaussian one.

`cutoff` may also be several, V of them: (N, C, H, W) -> (V N, C, H, W), all images under the first cutoff first.
"""

import torch

from equidiff_cli.parts.accepted import accepted


def filter_mirrored(images, gain):
    """Multiply the spectrum of the mirrored images by `gain(r)`: (N, C, H, W) -> (N, C, H, W), same dtype.

    The half-sample mirror (H, W) -> (2H, 2W) makes the Fourier basis that of the DCT-II, which the filter scales: the
    cosine cos(pi k (i + 1/2) / H) by `gain(k / H)`. Computed in float32 whatever the dtype of the images.
    """
    height, width = images.shape[-2:]
    mirrored = torch.cat([images.float(), images.float().flip(-1)], dim=-1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], dim=-2)  # (N, C, 2H, 2W)
    down = torch.fft.fftfreq(2 * height, 1 / (2 * height), device=images.device).round()[:, None] / height
    across = torch.arange(width + 1, device=images.device) / width  # k / W as near as a number can be to the cutoff
    spectrum = torch.fft.rfft2(mirrored) * gain(torch.hypot(down, across))  # (N, C, 2H, W + 1)
    return torch.fft.irfft2(spectrum, s=mirrored.shape[-2:])[..., :height, :width].to(images.dtype)


def each(lowpass, images):
    """The images under every cutoff of a filter."""
    if isinstance(lowpass.cutoff, tuple):
        return torch.cat([filter_mirrored(images, lowpass.at(cutoff).gain) for cutoff in lowpass.cutoff])
    return filter_mirrored(images, lowpass.gain)


class Gaussian:
    """Gain exp(-(r / cutoff)^2 / 2): exp(-1/2) = 0.61 at the cutoff, no ringing. `ValueError` for a wrong cutoff."""

    def __init__(self, cutoff):
        self.cutoff = accepted("filter.cutoff", cutoff)

    def at(self, cutoff):
        return Gaussian(cutoff)

    def gain(self, r):
        return torch.exp(-0.5 * (r / self.cutoff) ** 2)

    def __call__(self, images):
        return each(self, images)


class Butterworth:
    """Gain 1 / sqrt(1 + (r / cutoff)^(2 order)): 1 / sqrt(2) at the cutoff, the steeper the higher the order
    (Butterworth 1930). `ValueError` for a wrong cutoff or an order that is not a whole number of at least 1.
    """

    def __init__(self, cutoff, order):
        self.cutoff = accepted("filter.cutoff", cutoff)
        self.order = accepted("filter.order", order)

    def at(self, cutoff):
        return Butterworth(cutoff, self.order)

    def gain(self, r):
        return torch.rsqrt(1 + (r / self.cutoff) ** (2 * self.order))

    def __call__(self, images):
        return each(self, images)


class Ideal:
    """Gain 1 up to and including the cutoff, 0 above: it rings at edges. `ValueError` for a wrong cutoff."""

    def __init__(self, cutoff):
        self.cutoff = accepted("filter.cutoff", cutoff)

    def at(self, cutoff):
        return Ideal(cutoff)

    def gain(self, r):
        return (r <= self.cutoff).to(r.dtype)

    def __call__(self, images):
        return each(self, images)


class Identity:
    """No filter (`filter=none`): the images themselves."""

    def at(self, cutoff):
        return Gaussian(cutoff)

    def __call__(self, images):
        return images
