"""Fine structure: sharpness, spectra, texture, symmetry. Energies are in decibels."""

import torch
import torch.nn.functional as F

from equidiff_cli.audit.attributes.attribute import grey, pictured
from equidiff_cli.metrics.spectrum import decibels, high_frequency_energy, power, radial

LEVELS = 8  # of brightness in a co-occurrence matrix


def sharpness(x):
    """Variance of the Laplacian of the brightness (Pech-Pacheco et al. 2000), in decibels."""
    kernel = x.new_tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return decibels(F.conv2d(grey(x)[:, None], kernel).flatten(1).var(1, unbiased=False))


def slope(x):
    """Decibels a doubling of the frequency, of the radial power spectrum: about -6 for photographs (Field 1987)."""
    frequencies, spectrum = radial(x)
    octaves = frequencies.log2() - frequencies.log2().mean()
    return (decibels(spectrum) * octaves).sum(1) / octaves.square().sum()


def fine(x):
    """Energy above half of Nyquist, in decibels."""
    return decibels(high_frequency_energy(x))


def finest(x):
    """Energy above Nyquist along an axis, which only diagonal patterns of single pixels have, in decibels."""
    r, spectrum = power(x)
    return decibels((spectrum * (r > 1)).sum((1, 2)) / spectrum[0].numel())


def symmetry(axis):
    """Correlation of the brightness with its mirror image along an axis of pictures, in [-1, 1]."""

    def of(x):
        y = grey(x)
        y = y - y.mean((1, 2), keepdim=True)
        return (y * y.flip(axis)).sum((1, 2)) / y.square().sum((1, 2)).clamp_min(1e-12)

    return of


def cooccurrence(y, levels=LEVELS):
    """How often levels of brightness are neighbours, (N, levels, levels), symmetric, sum 1 (Haralick et al. 1973)."""
    coarse = (y * levels).long().clamp(0, levels - 1)
    right = levels * coarse[:, :, :-1] + coarse[:, :, 1:]
    down = levels * coarse[:, :-1] + coarse[:, 1:]
    pairs = F.one_hot(torch.cat([right.flatten(1), down.flatten(1)], 1), levels**2).double().mean(1)
    pairs = pairs.view(-1, levels, levels)
    return (pairs + pairs.mT) / 2


def roughness(x):
    """Haralick's contrast: the mean squared difference of neighbouring levels, in decibels."""
    levels = torch.arange(LEVELS, device=x.device)
    return decibels((cooccurrence(grey(x)) * (levels[:, None] - levels).square()).sum((1, 2)))


def disorder(x):
    """Entropy of the co-occurrence matrix, in bits."""
    return torch.special.entr(cooccurrence(grey(x))).sum((1, 2)) / torch.log(x.new_tensor(2.0))


def direction(x):
    """Share of gradient energy across the picture, in [0, 1]: upright edges have 1, level ones 0."""
    y = grey(x)
    across, down = (torch.diff(y, dim=dim).square().mean((1, 2)) for dim in (2, 1))
    return across / (across + down).clamp_min(1e-12)


HARALICK = "co-occurrence of 8 levels (Haralick et al. 1973)"
TEXTURE = (
    pictured("sharpness", "sharpness", "blurred", "sharp", sharpness, "variance of the Laplacian, dB"),
    pictured("spectral_slope", "slope of the spectrum", "coarse", "fine", slope, "dB an octave (Field 1987)"),
    pictured("fine_detail", "fine detail", "smooth", "detailed", fine, "energy above half of Nyquist, dB"),
    pictured("pixel_pattern", "pattern of single pixels", "none", "much", finest, "energy above Nyquist, dB"),
    pictured("symmetry", "left-right symmetry", "one-sided", "symmetric", symmetry(2), "correlation with its mirror"),
    pictured(
        "symmetry_vertical", "up-down symmetry", "top unlike bottom", "alike", symmetry(1), "the same, upside down"
    ),
    pictured("roughness", "roughness of the texture", "even", "rough", roughness, HARALICK),
    pictured("disorder", "disorder of the texture", "plain", "busy", disorder, HARALICK),
    pictured("edge_direction", "direction of edges", "level", "upright", direction, "share of gradients across"),
)
