"""How far Markov chains have mixed, from numbers x (M, N): M chains of N states each.

After Gelman, Carlin, Stern, Dunson, Vehtari & Rubin, "Bayesian Data Analysis" (3rd edition), 11.4 and 11.5, and
Vehtari, Gelman, Simpson, Carpenter & Buerkner 2021 (arXiv:1903.08008).
"""

import torch

FEWEST = 4  # states of a chain, so that each half has a variance


def halves(x):
    """Every chain as two, (2 M, N // 2), without the middle of an odd N: a chain that drifts disagrees with itself."""
    half = x.shape[1] // 2
    return torch.cat([x[:, :half], x[:, x.shape[1] - half :]]).double()


def split_rhat(x):
    """sqrt(((n - 1) W + B) / (n W)) over half chains of n states: W their mean variance, B n times that of their means.

    1 for chains that have mixed. None if nothing varies or a chain has fewer than `FEWEST` states.
    """
    if x.shape[1] < FEWEST:
        return None
    x = halves(x)
    n, within, between = x.shape[1], x.var(1).mean(), x.mean(1).var() * x.shape[1]
    if not within > 0:
        return None if not between > 0 else float("inf")
    return (((n - 1) * within + between) / (n * within)).sqrt().item()


def autocovariance(x):
    """Of each of (M, N), (M, N) by lag, divided by N; by the Fourier transform."""
    n = x.shape[1]
    centred = x.double() - x.double().mean(1, keepdim=True)
    power = torch.fft.rfft(centred, 2 * n).abs().square()
    return torch.fft.irfft(power, 2 * n)[:, :n] / n


def autocorrelation(x):
    """(N,) by lag, of all chains together: 1 - (W - mean autocovariance) / V, which counts that chains disagree, too.

    None if nothing varies.
    """
    m, n = x.shape
    covariance = autocovariance(x)
    within = (covariance[:, 0] * n / (n - 1)).mean()
    total = within * (n - 1) / n + (x.double().mean(1).var() if m > 1 else 0)
    return None if not total > 0 else 1 - (within - (covariance * n / (n - 1)).mean(0)) / total


def correlation_time(x):
    """tau = 1 + 2 sum of autocorrelations, in states: as many states say as much as one independent draw.

    The sum goes over pairs of lags as long as they are positive, each no larger than the one before (Geyer 1992). None
    as for `split_rhat`.
    """
    if x.shape[1] < FEWEST:
        return None
    rho = autocorrelation(halves(x))
    if rho is None:
        return None
    pairs = rho[: len(rho) // 2 * 2].view(-1, 2).sum(1)
    positive = pairs[: len(pairs) if (pairs > 0).all() else (pairs <= 0).nonzero()[0]]
    return max(2 * positive.cummin(0).values.sum().item() - 1, 1e-3) if len(positive) else 1.0


def effective_size(x):
    """How many independent draws say as much as all M N states, M N / tau, at most M N log10(M N); None as before."""
    tau, count = correlation_time(x), x.numel()
    return None if tau is None else min(count / tau, count * max(torch.tensor(float(count)).log10().item(), 1))
