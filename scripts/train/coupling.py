"""Starting noise that tells what its picture shows: the coupling of noise and data in the training of the prior.

Flow matching may pair noise and pictures as it likes, if each for itself keeps its distribution (Albergo et al. 2023,
arXiv:2310.03725; Pooladian et al. 2023, arXiv:2304.14772). Here a few coordinates of the noise are features of the
picture, made normal, so noise stays white as nearly as they become normal. The starting noise then decides what the
picture will show. A prior without classes would leave that open, and pictures are better when features of them are
given first (Li, Katabi & He 2023, arXiv:2312.03701).
"""

import torch

BLOCK = 4  # side in tokens of the squares over which a coordinate is the mean
CHANNELS = 4  # that carry features
FRESH = 0.25  # standard deviation of what is drawn anew in each coordinate at each use


def blocks(z):
    """Means over squares of latents or noise z (N, C, H, W), times BLOCK so that white noise gives N(0, 1)."""
    return torch.nn.functional.avg_pool2d(z, BLOCK) * BLOCK  # (N, C, H / BLOCK, W / BLOCK)


def carriers(latents):
    """The channels of latents (N, C, H, W) whose means over squares vary least: data covers up noise there last."""
    return blocks(latents).std((0, 2, 3)).argsort()[:CHANNELS]


def gaussianized(features, count, rounds=100):
    """The `count` leading principal components of features (N, D), mapped to be nearly N(0, I): (N, count).

    Random rotations in turn with the quantile transform of every coordinate (Laparra, Camps-Valls & Malo 2011,
    arXiv:1602.00229).
    """
    generator = torch.Generator().manual_seed(0)
    x = features.float() - features.float().mean(0)
    _, axes = torch.linalg.eigh(x.T @ x)  # from the weakest to the strongest
    x = x @ axes[:, -count:]  # (N, count)
    quantiles = torch.special.ndtri((torch.arange(len(x), device=x.device) + 0.5) / len(x))
    for _ in range(rounds):
        rotation, _ = torch.linalg.qr(torch.randn(count, count, generator=generator))
        x = x @ rotation.to(x.device)
        x = torch.empty_like(x).scatter_(0, x.argsort(0), quantiles[:, None].expand_as(x))
    return x


def coupled(noise, channels, facts, generator):
    """Noise (N, C, H, W) ~ N(0, I) of which the means over squares in `channels` tell facts (N, D) ~ N(0, I)."""
    facts = (1 - FRESH**2) ** 0.5 * facts + FRESH * torch.randn(facts.shape, generator=generator, device=facts.device)
    means = blocks(noise[:, channels])  # (N, len(channels), H / BLOCK, W / BLOCK), as many a picture as facts
    change = (facts.view_as(means) - means) / BLOCK
    return noise.index_add(1, channels, change.repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3))
