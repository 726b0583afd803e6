"""How good the pictures of the embedded prior are: unguided samples, kept in files, against real pictures."""

import torch

from equidiff_cli.metrics import frechet, spectrum
from equidiff_cli.prior.prior import NULL_STREAM, sample_seed
from equidiff_cli.request.light import light_prior
from equidiff_cli.request.schema import composed
from equidiff_cli.study.cache import cached

CHUNK = 250  # pictures a file


def prior_options(overrides=()):
    """The light object of the embedded prior, with overrides such as "prior.steps=20"."""
    return light_prior(composed("prior=embedded", *overrides))


def embedded_prior(overrides=()):
    """The embedded prior on the CPU, see `prior_options`."""
    return prior_options(overrides).build(device=torch.device("cpu"), autocast=torch.float32)


def samples(prior, count):
    """The first `count` unguided samples of `prior`, (count, 3, H, W) uint8, the starting noises of `Prior.unguided`.

    Every 250 of them are kept in a file of the cache, and are read from there the next time.
    """
    return torch.cat([_chunk(prior, start) for start in range(0, count, CHUNK)])[:count]


def _chunk(prior, start):
    def draw():
        noise = torch.stack([prior.noise(sample_seed(NULL_STREAM, i)) for i in range(start, start + CHUNK)])
        return {"pictures": (prior.sample(noise, 50).cpu() * 255).round().byte()}

    facts = {"weights": prior.weights, "solver": prior.path.step.__name__, "times": prior.times.tolist()}
    return cached("pictures", facts | {"samples": [start, start + CHUNK]}, draw)["pictures"]


@torch.no_grad()
def decoded_noise(prior, count):
    """What the decoder makes of the prior's starting noise, (count, 3, H, W) uint8: no prior at all."""
    noise = torch.randn(count, *prior.latent_shape, generator=torch.Generator().manual_seed(0))
    pictures = torch.cat([prior.decode(part.to(prior.device)).cpu() for part in noise.split(250)])
    return (pictures * 255).round().byte()


@torch.no_grad()
def redecoded(prior, pictures):
    """Decoded latents of pictures (N, 3, H, W) uint8, all at once, on the prior's device; float in [0, 1]."""
    z = prior.decoder.encode(pictures.to(prior.device) / 127.5 - 1)
    return prior.decode((z - prior.mean) / prior.std)


def reconstructions(prior, pictures):
    """What `redecoded` gives, of many pictures, on the CPU."""
    return torch.cat([redecoded(prior, part).cpu() for part in pictures.split(250)])


@torch.no_grad()
def features(network, pictures):
    """What the last layer of `smallconv` sees of pictures (N, 3, H, W) uint8: (N, D)."""
    return torch.cat([network.activations(part / 255, "layer3").amax((2, 3)) for part in pictures.split(250)])


def distance(network, pictures, real_features):
    """Frechet distance between the features of `pictures` and of as many real ones."""
    return frechet.frechet_distance(features(network, pictures), real_features[: len(pictures)])


def nearest(pictures, others):
    """Root mean square difference, of 1, between each of pictures (N, 3, H, W) uint8 and the nearest of others (M, ...)
    and their mirror images: (N,). A picture that was learnt by heart is near 0."""
    pictures = pictures.flatten(1) / 255
    found = torch.full((len(pictures),), torch.inf)
    for part in others.split(5000):
        for view in (part, part.flip(-1)):
            found = torch.minimum(found, torch.cdist(pictures, view.flatten(1) / 255).amin(1))
    return found / pictures.shape[1] ** 0.5


def spectral_difference(pictures, real):
    """Mean radial spectrum of pictures over that of real ones, both (N, 3, H, W) uint8 or in [0, 1].

    Returns:
        frequencies (B,): fractions of Nyquist.
        difference (B,): in dB, above 0 where `pictures` have more power.
    """
    frequencies, power = _mean_spectrum(pictures)
    _, real_power = _mean_spectrum(real)
    return frequencies, spectrum.decibels(power) - spectrum.decibels(real_power)


def _mean_spectrum(pictures):
    parts = [spectrum.radial(part if part.is_floating_point() else part / 255) for part in pictures.split(500)]
    return parts[0][0], torch.cat([power for _, power in parts]).mean(0)
