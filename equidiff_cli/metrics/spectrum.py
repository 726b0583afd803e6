"""Power spectra of pictures (N, 3, H, W) in [0, 1], square; frequencies as fractions of Nyquist."""

import torch

GREY = (0.299, 0.587, 0.114)  # Rec. 601, the brightness that JPEG and most viewers use


def power(x):
    """Power of the brightness at each frequency, and the frequencies.

    The mean is taken off, a Hann window keeps the borders from looking like edges, and the scale is such that white
    noise of variance s^2 has power s^2 at every frequency (Welch 1967).

    Returns:
        r (H, W): radial frequency, 1 at Nyquist along an axis, sqrt(2) in the corner.
        power (N, H, W): in squared units of brightness.
    """
    side = x.shape[-1]
    grey = torch.einsum("nchw,c->nhw", x.double(), x.new_tensor(GREY).double())
    window = torch.hann_window(side, periodic=True, dtype=torch.float64, device=x.device)
    window = window[:, None] * window[None]
    mean = (grey * window).sum((1, 2), keepdim=True) / window.sum()
    spectrum = torch.fft.fft2((grey - mean) * window).abs().square() / window.square().sum()
    f = torch.fft.fftfreq(side, dtype=torch.float64, device=x.device)
    return torch.hypot(f[:, None], f[None]) / 0.5, spectrum


def radial(x):
    """The radially averaged power spectrum (van der Schaaf & van Hateren 1996).

    Rings are one cycle a picture wide and lie at 2, 3, ... H/2 cycles a picture; at 0 and 1 there is only the window.

    Returns:
        frequencies (B,): fractions of Nyquist, in (0, 1].
        power (N, B): mean power in each ring, in squared units of brightness.
    """
    side = x.shape[-1]
    r, spectrum = power(x)
    ring = (r * side / 2).round().long()  # cycles a picture
    rings = torch.arange(2, side // 2 + 1, device=x.device)
    inside = (ring[None] == rings[:, None, None]).double()  # (B, H, W)
    mean = torch.einsum("nhw,bhw->nb", spectrum, inside) / inside.sum((1, 2))
    return 2 * rings.double() / side, mean


def decibels(power):
    """10 log10 of a power; a power of 0 counts as 1e-12, which is -120 dB."""
    return 10 * power.clamp_min(1e-12).log10()


def spectral_distance(a, b):
    """Root mean square difference in dB, at least 0, between the mean spectra of (N, B) and (M, B).

    The log-spectral distance (Gray & Markel 1976) over rings instead of frequencies: 0 for equal spectra, 10 for a
    factor of ten everywhere.
    """
    return (decibels(a.mean(0)) - decibels(b.mean(0))).square().mean().sqrt().item()


def high_frequency_energy(x, above=0.5):
    """Energy above a fraction of Nyquist, corners included, a picture: (N,), in squared units of brightness.

    It is the sum over frequencies divided by the number of pixels, so that the sum over all is the variance.
    """
    r, spectrum = power(x)
    return (spectrum * (r > above)).sum((1, 2)) / spectrum[0].numel()
