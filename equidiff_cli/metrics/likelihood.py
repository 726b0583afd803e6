"""Log-likelihood under a flow by the instantaneous change of variables (FFJORD, Grathwohl et al. 2019).

Along dz/dt = v(z, t) from noise at t = 0 to data at t = 1, d log p / dt = -tr(dv/dz), so

    log p(z(1)) = log N(z(0); 0, I) - integral of tr(dv/dz) dt from 0 to 1.

The trace is estimated by probes e of independent signs: E[e . (dv/dz) e] is the trace (Hutchinson 1990).
"""

import math

import torch


def log_likelihood(velocity, z, times, probes):
    """log p(z) in nats under the flow, one estimate a probe, and the noise that z came from.

    z is carried backwards, from t = 1 to t = 0, with Heun's method on z and on the integral together. The probes are
    the same at all times, as in FFJORD, so each gives an unbiased estimate up to the error of the solver.

    Args:
        velocity: (z, i) -> dz/dt at `times[i]`, differentiable in z.
        z: (N, ...) latents at t = 1.
        times: (T + 1,) increasing from 0 to 1.
        probes: (P, N, ...) signs, see `signs`.

    Returns:
        estimates (P, N), in float64 on the CPU, and the noise (N, ...) at t = 0.
    """
    steps = list(enumerate(times.diff().tolist()))
    integral = torch.zeros(probes.shape[:2], dtype=torch.float64)
    v, trace = velocity_and_trace(velocity, z, len(steps), probes)
    for i, dt in reversed(steps):
        v_start, trace_start = velocity_and_trace(velocity, z - dt * v, i, probes)
        z = z - dt / 2 * (v + v_start)
        integral += dt / 2 * (trace + trace_start)
        v, trace = velocity_and_trace(velocity, z, i, probes) if i else (v, trace)
    return log_normal(z.cpu()) - integral, z


def velocity_and_trace(velocity, z, i, probes):
    """v (N, ...), and e . (dv/dz) e for each probe (P, N), in float64 on the CPU: not every device has it."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        v = velocity(z, i)
        products = [
            torch.autograd.grad(v, z, probe, retain_graph=p + 1 < len(probes))[0] for p, probe in enumerate(probes)
        ]
    traces = [(a * e).flatten(1).cpu().double().sum(1) for a, e in zip(products, probes, strict=True)]
    return v.detach(), torch.stack(traces)


def log_normal(z):
    """log N(z; 0, I) (N,) in nats, float64."""
    z = z.flatten(1).double()
    return -0.5 * (z.square().sum(1) + z.shape[1] * math.log(2 * math.pi))


def signs(count, shape, seed):
    """`count` probes (count, *shape) of independent +1 and -1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, (count, *shape), generator=generator).float() * 2 - 1


def bits_per_dimension(log_p, d):
    """-log2 p / d: log-likelihoods in nats of vectors of d numbers -> bits a number; lower is more likely."""
    return -log_p / (d * math.log(2))


def standard_error(estimates):
    """The standard error (N,) of the mean over P >= 2 probes of estimates (P, N)."""
    return estimates.std(0) / math.sqrt(len(estimates))
