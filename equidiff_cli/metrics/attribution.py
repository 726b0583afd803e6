"""How attribution maps compare: functions of maps (N, P), a row a picture, P places."""

import torch


def ranks(values):
    """Ranks (N, P) of the places of each row, from 0; equal values share the mean of theirs."""
    below = (values[:, :, None] > values[:, None]).sum(2)
    equal = (values[:, :, None] == values[:, None]).sum(2)
    return below + (equal - 1) / 2


def rank_correlation(a, b):
    """Spearman's correlation (N,) of maps (N, P) and (N, P), in [-1, 1]; 0 where one is constant and has no order."""
    a, b = (ranks(one) - (one.shape[1] - 1) / 2 for one in (a, b))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-12)


def highest(values, share):
    """(N, P) of booleans: the `share` of the places of each row that have the highest values, the first of equals."""
    count = max(1, round(share * values.shape[1]))
    order = values.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(values, dtype=torch.bool).scatter_(1, order[:, :count], True)


def overlap(a, b, share):
    """Jaccard overlap (N,) of the highest places of two maps, in [0, 1]: by chance share / (2 - share)."""
    a, b = highest(a, share), highest(b, share)
    return (a & b).sum(1) / (a | b).sum(1)


def sign_agreement(a, b):
    """The weight (N,) of the places where two maps have the same sign, in [0, 1], each place counting by the root of
    |a b|, so that places about which neither says much count little; 0.5 where one is zero."""
    weight = (a * b).abs().sqrt()
    total = weight.sum(1)
    return torch.where(total > 0, (weight * (a * b > 0)).sum(1) / total.clamp_min(1e-30), 0.5)


def infidelity(removed, drops):
    """What attributions do not explain of how drops differ between removals, (N,) in [0, 1].

    The infidelity of Yeh et al. (2019, arXiv:1901.09392, definition 2.1) with the best scale and offset for each map,
    divided by the variance of the drops; 1 less the square of the correlation of Bhatt et al. (2020, arXiv:2005.00631).
    0: drops are proportional to what was removed of the map. 1: unrelated, or one of them never varies.

    Args:
        removed: (N, R), the attribution that each of R removals of equally many places took away.
        drops: (N, R), how much the value fell with it.
    """
    removed, drops = (one.double() - one.double().mean(1, keepdim=True) for one in (removed, drops))
    scale = removed.norm(dim=1) * drops.norm(dim=1)
    return 1 - torch.where(scale > 0, (removed * drops).sum(1) / scale.clamp_min(1e-30), 0).square()


def high_share(maps, above):
    """The share (N,) of the energy of maps (N, H, W) above a fraction of Nyquist, corners included, mean taken off;
    white noise has 1 - pi above^2 / 4."""
    height, width = maps.shape[-2:]
    down, across = (torch.fft.fftfreq(side, dtype=torch.float64) / 0.5 for side in (height, width))
    energy = torch.fft.fft2(maps.double() - maps.double().mean((1, 2), keepdim=True)).abs().square()
    high = torch.hypot(down[:, None], across[None]) > above
    return (energy * high).sum((1, 2)) / energy.sum((1, 2)).clamp_min(1e-30)


def unit(maps):
    """Maps (N, P) of norm one, for cosines; zero stays zero."""
    return maps / maps.norm(dim=1, keepdim=True).clamp_min(1e-30)
