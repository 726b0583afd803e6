"""Spectra of signals whose spectrum is known: white noise, a sinusoid, a scaled picture."""

import math

import pytest
import torch

from equidiff_cli.metrics.spectrum import GREY, decibels, high_frequency_energy, power, radial, spectral_distance


def noise(n, side, deviation, seed=0):
    """White noise of the same value in all three channels, so that its brightness has this deviation."""
    drawn = torch.randn(n, 1, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 0.5 + deviation * drawn.expand(n, 3, side, side)


def test_white_noise_is_flat_at_its_variance():
    frequencies, spectrum = radial(noise(400, 32, 0.1))
    assert frequencies[0] == 2 / 16 and frequencies[-1] == 1
    torch.testing.assert_close(spectrum.mean(0), torch.full((15,), 0.01, dtype=torch.float64), rtol=0.05, atol=0)


def test_independent_channels_add_by_their_weights():
    x = 0.1 * torch.randn(400, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = 0.01 * sum(weight**2 for weight in GREY)
    assert radial(x)[1].mean().item() == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("cycles", [4, 10, 14])
def test_a_sinusoid_is_a_peak_at_its_frequency_with_its_power(cycles):
    side, amplitude = 32, 0.3
    wave = amplitude * torch.cos(2 * math.pi * cycles * torch.arange(side, dtype=torch.float64) / side)
    x = 0.5 + wave.expand(1, 3, side, side)
    frequencies, spectrum = radial(x)
    assert frequencies[spectrum[0].argmax()].item() == pytest.approx(2 * cycles / side)
    _, whole = power(x)
    assert whole.sum().item() / side**2 == pytest.approx(amplitude**2 / 2, rel=1e-2)  # the mean square of the wave
    assert (high_frequency_energy(x, 0.5).item() > 0.9 * amplitude**2 / 2) == (cycles >= 10)


def test_high_frequency_energy_over_everything_is_the_variance():
    x = noise(50, 32, 0.2)
    assert high_frequency_energy(x, above=-1).mean().item() == pytest.approx(0.04, rel=0.03)
    share = (power(x)[0] > 0.5).double().mean().item()
    assert high_frequency_energy(x, above=0.5).mean().item() == pytest.approx(0.04 * share, rel=0.05)


def test_spectral_distance_of_scaled_pictures_is_their_gain_in_decibels():
    spectrum = radial(noise(4, 32, 0.1))[1]
    assert spectral_distance(spectrum, spectrum) == 0
    assert spectral_distance(spectrum, 4 * spectrum) == pytest.approx(10 * math.log10(4))
    assert decibels(torch.tensor(0.0)).item() == pytest.approx(-120)


def test_rows_do_not_mix():
    x = noise(3, 16, 0.1)
    torch.testing.assert_close(radial(x)[1][1:2], radial(x[1:2])[1])
    torch.testing.assert_close(high_frequency_energy(x)[2:], high_frequency_energy(x[2:]))
