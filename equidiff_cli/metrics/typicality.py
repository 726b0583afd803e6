"""Whether starting noise still looks like white noise: latents (N, ...) with d numbers each, expected ~ N(0, I)."""

import math

import torch


def typicality(z):
    """|z|^2 / d (N,), at least 0: 1 +- sqrt(2 / d) for white noise. The unit is the variance of white noise."""
    return z.flatten(1).double().square().mean(1)


def chi_square_tail(z):
    """How unlikely |z|^2 is for white noise, two-sided: (N,), in [0, 1].

    |z|^2 is chi-square with d degrees of freedom; this is twice the smaller tail, uniform on [0, 1] for white noise.
    A small number says that the noise left the shell on which a prior was trained, outwards or inwards.
    """
    z = z.flatten(1).double()
    half, x = torch.tensor(z.shape[1] / 2, dtype=torch.float64, device=z.device), z.square().sum(1) / 2
    below, above = torch.special.gammainc(half, x), torch.special.gammaincc(half, x)
    return 2 * torch.minimum(below, above)


def orders(d, permutations, seed):
    """The natural order of d numbers and `permutations` random ones: (permutations + 1, d)."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = [torch.randperm(d, generator=generator) for _ in range(permutations)]
    return torch.stack([torch.arange(d), *shuffled])


def concentration(z, order, k=4):
    """The two statistics of Direct Noise Optimization (Tang et al. 2024, arXiv:2405.18881), there M1 and M2.

    The d numbers are read in a given order and cut into m = d // k subsequences of length k, which for white noise are
    independent ~ N(0, I_k).

    Args:
        z: (N, ...) latents.
        order: (P, d) orders to read them in, see `orders`.
        k: length of a subsequence; their code uses 4.

    Returns:
        mean (N, P): m |mean|^2 / k of the subsequences; 1 on average for white noise, chi-square with k degrees / k.
        covariance (N, P): spectral norm of their second moment minus I; about 2 sqrt(k / m) for white noise.
    """
    z = z.flatten(1).double()
    m, eye = z.shape[1] // k, torch.eye(k, dtype=z.dtype, device=z.device)
    means, moments = [], []
    for row in order.to(z.device):  # one by one, to save memory
        parts = z[:, row[: m * k]].unflatten(1, (m, k))  # (N, m, k)
        means.append(m * parts.mean(1).square().sum(1) / k)
        moments.append(parts.mT @ parts / m - eye)
    return torch.stack(means, 1), torch.linalg.matrix_norm(torch.stack(moments, 1), ord=2)


def concentration_bounds(mean, covariance, m, k=4):
    """Upper bounds, in [0, 1], on the probability that white noise has statistics as large as those of `concentration`.

    The concentration inequalities of Tang et al. (2024), after Wainwright (2019, "High-Dimensional Statistics"):
    2 exp(-m M1^2 / (2 k)) for the norm M1 of the mean, 2 exp(-m max(sqrt(1 + M2) - 1 - sqrt(k / m), 0)^2 / 2) for M2.
    They are loose: 1 says nothing, a small number says that the noise is not white.
    """
    excess = (torch.sqrt(1 + covariance) - 1 - math.sqrt(k / m)).clamp_min(0)
    return (2 * torch.exp(-mean / 2)).clamp_max(1), (2 * torch.exp(-m * excess**2 / 2)).clamp_max(1)
