"""From a picture back to the starting noise that gives it: what the flow undoes, then least squares on the pixels."""

import torch

from equidiff_cli.prior.sampler import Adjoint

SWEEPS = 30  # of the fixed point of a solver step
STEPS, INNER = 12, 20  # least squares: steps, and products with the Jacobian in each
ENOUGH = 0.5  # decibels that a step has to gain
GOOD = 45.0  # decibels at which nobody sees a difference
NUDGE = 0.05  # length of what stands for an infinitesimal step, of noise


def psnr(first, second):
    """Peak signal-to-noise ratio (decibels) of pictures in [0, 1], 99 at most."""
    return min(-10 * torch.log10((first - second).square().mean()).item(), 99.0)


def invert(prior, picture, adjoint=Adjoint()):
    """(noise (1, C, H, W), PSNR) of a picture (1, 3, H, W) in [0, 1], as near as it was found.

    Where the decoder can encode, the flow is undone from its latents by `undo`, which is exact for steps so short that
    they contract. `least_squares` goes on from there, or from the most likely noise, 0.
    """
    start = torch.zeros(1, *prior.noise_shape, device=prior.device)
    with torch.no_grad():
        if hasattr(prior.path, "step") and (latents := encoded(prior, picture)) is not None:
            found = undo(prior, latents)
            if found.isfinite().all():
                start = found
    return least_squares(lambda z: prior.decode(prior.flow(z, adjoint), adjoint), picture, start)


def encoded(prior, picture):
    """Normalised latents of a picture; None where the decoder has no inverse that fits."""
    encode = getattr(prior.decoder, "encode", None)
    if encode is None:
        return None
    made = encode(picture * 2 - 1)
    made = getattr(made, "latent_dist", made)
    made = made.mode() if hasattr(made, "mode") and not isinstance(made, torch.Tensor) else made
    return (made - prior.mean) / prior.std if made.shape[1:] == prior.latent_shape else None


def undo(prior, z):
    """Latents at t = 1 -> noise, step by step backwards: for a step y -> y + f(y), the fixed point of y = z - f(y).

    It is exact where the Lipschitz constant of f, for Euler's method dt times that of v, is below 1; elsewhere it is
    where least squares begins.
    """
    for i, dt in reversed(list(enumerate(prior.times.diff().tolist()))):
        y = z
        for _ in range(SWEEPS):
            y = z - (prior.path.step(prior.velocity, y, i, dt) - y)
        z = y
    return z


def least_squares(function, picture, z):
    """(z, PSNR): the least squares of function(z) - picture from z (1, C, H, W) on.

    Levenberg and Marquardt's steps (Marquardt 1963), (J^T J + mu I) s = -J^T r, each solved by conjugate gradients:
    J^T by a backward pass, J by a difference of two pictures. mu falls after a step that helps and grows after others.
    """
    damping, best = 0.1, None
    for _ in range(STEPS):
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            made = function(z)
        residual = (made - picture).detach()
        if best is None:
            best = psnr(made.detach(), picture)
        step = conjugate_gradients(function, made, z, residual, damping)
        with torch.no_grad():
            near = psnr(function(z + step), picture)
        if near > best:
            gain, best, damping, z = near - best, near, max(damping / 3, 1e-6), z.detach() + step
            if gain < ENOUGH or best > GOOD:
                break
        else:
            damping *= 5
    return z.detach(), best


def conjugate_gradients(function, made, z, residual, damping):
    """s of (J^T J + damping I) s = -J^T r (Hestenes & Stiefel 1952)."""

    def pull(x):
        return torch.autograd.grad(made, z, x, retain_graph=True)[0]

    @torch.no_grad()
    def push(direction):
        h = NUDGE / direction.norm().clamp_min(1e-12)
        return (function(z + h * direction) - made.detach()) / h

    rest = -pull(residual)
    step, direction, square = torch.zeros_like(rest), rest, rest.square().sum()
    least = 1e-4 * square
    for _ in range(INNER):
        image = pull(push(direction)) + damping * direction
        length = square / (direction * image).sum()
        step, rest = step + length * direction, rest - length * image
        before, square = square, rest.square().sum()
        if not square > least:
            break
        direction = rest + square / before * direction
    return step
