"""A move of constrained Hamiltonian Monte Carlo on the set {z : c(z) = 0} of R equations, for white noise z (D,).

The law of z ~ N(0, I) given c(z) = 0 has, with respect to area on the set, the density

    p(z) = exp(-|z|^2 / 2) |J J^T|^(-1/2),    J = dc/dz (R, D)

(coarea formula). A velocity v ~ N(0, I), projected on the tangent space at z, and an angle a give

    w = v + Q s,    z' = z cos a + w sin a,    w' = w cos a - z sin a,    v' = w' projected on the tangent space at z',

where Q are the normals at z and s is such that c(z') = 0: an impulse along the normals, the exact flow of the Gaussian,
and another impulse (RATTLE with the exact flow in place of a leapfrog; Brubaker, Salzmann & Urtasun 2012; Graham,
Thiery & Beskos 2022). From (z', -v') the same gives (z, -v): z' cos a - w' sin a = z, and w' differs from v' by a
normal at z'. Of v as a function of z', v = P((z' - z cos a) / sin a), the determinant is |U^T U'| / sin^(D - R) a with
U, U' orthonormal bases of both tangent spaces: the same in both directions, so that nothing of the area is left over.
With H = |z|^2 / 2 + |v|^2 / 2 + log |J J^T|^(1/2), accepting with probability exp(H(z, v) - H(z', v')) keeps the law
(Zappa, Holmes-Cerfon & Goodman 2018). Where s cannot be found, or the way back finds another z, the move is refused:
else it would be one that has no return. Several rotations make one move, with one decision at its end.

Rows are independent. A *place* is a dict of tensors with a row a chain: z as "at" (N, D), what `framed` makes of J
there, and whatever else the surface says of z.
"""

import torch

MOVED, REFUSED, NO_PROJECTION, NO_RETURN = range(4)  # what became of a move
RETURN = 1e-3  # of sqrt(D), the norm of white noise: how far from z the way back may end


def framed(jacobian):
    """What a move needs of J (N, R, D): "across" Q (N, D, R), orthonormal normals of the set; "slope" J Q (N, R, R);
    "volume" log |J J^T|^(1/2) (N,).
    """
    q, r = torch.linalg.qr(jacobian.mT)  # J^T = Q R, so J Q = R^T and J J^T = R^T R
    return {"across": q, "slope": r.mT, "volume": r.diagonal(dim1=1, dim2=2).abs().log().sum(1)}


def tangent(v, across):
    """v (N, D) without its part along the normals."""
    return v - times(across, times(across.mT, v))


def times(matrix, vector):
    """(N, A, B) and (N, B) -> (N, A)."""
    return (matrix @ vector[..., None])[..., 0]


def solved(residuals, start, across, slope, tolerance, iterations):
    """s such that c(start + Q s) = 0, by Broyden's (1965) method, which begins with the slope at another point.

    Args:
        residuals: z (n, D) -> c (n, R).
        start, across, slope: (N, D), (N, D, R), (N, R, R).
        tolerance: of the largest |c|.
        iterations: evaluations of c a row, at most.

    Returns s (N, R), whether it was found (N,), and how often c was evaluated (N,).
    """
    shift, slope, step = start.new_zeros(slope.shape[:2]), slope.clone(), None
    found = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    passes = torch.zeros(len(start), dtype=torch.int64, device=start.device)
    left = torch.arange(len(start), device=start.device)
    for _ in range(iterations):
        c = residuals(start[left] + times(across[left], shift[left]))
        passes[left] += 1
        if step is not None:  # the step solved the last equation, so c is all that the slope missed
            slope[left] += c[:, :, None] * (step / step.square().sum(1, keepdim=True).clamp_min(1e-30))[:, None]
        found[left] = c.abs().amax(1) < tolerance
        going = ~found[left] & c.isfinite().all(1)
        left, c = left[going], c[going]
        if not len(left):
            break
        step = -torch.linalg.solve_ex(slope[left], c[..., None])[0][..., 0]
        shift[left] += step
    return shift, found, passes


def rotated(residuals, place, v, angle, tolerance, iterations):
    """z' and w' (N, D) of a rotation of z and v by angles (N,), whether there is such a z', and evaluations of c."""
    z, across, cos, sin = place["at"], place["across"], angle.cos()[:, None], angle.sin()[:, None]
    ahead = (1 - cos) * times(across.mT, z)  # the part of s that the tangent plane asks for
    start = z * cos + v * sin + times(across, ahead)
    shift, found, passes = solved(residuals, start, across, place["slope"], tolerance, iterations)
    w = v + times(across, ahead + shift) / sin
    return z * cos + w * sin, w * cos - z * sin, found, passes


def energy(place, v):
    """H (N,)."""
    return (place["at"].square().sum(1) + v.square().sum(1)) / 2 + place["volume"]


def move(surface, place, noise, uniform, angle, rotations, tolerance, iterations):
    """One move of every chain.

    Args:
        surface: has `residuals(z)`, z (n, D) -> c (n, R), and `place(z)`.
        place: where the chains are.
        noise, uniform: N(0, I) (N, D), and from [0, 1), (N,): all the chance there is.
        angle: of each rotation (N,), radians in (0, pi / 2).
        rotations: their number.
        tolerance, iterations: of `solved`.

    Returns the next place; what became of the move (N,); the probability (N,) with which it was accepted, 0 where there
    is none; and evaluations of c (N,).
    """
    there, v = place, tangent(noise, place["across"])
    before = energy(place, v)
    outcome = torch.full((len(noise),), MOVED, device=noise.device)
    passes = torch.zeros_like(outcome)
    limit = RETURN * noise.shape[1] ** 0.5
    for _ in range(rotations):
        rows = (outcome == MOVED).nonzero().flatten()
        if not len(rows):
            break
        start = some(there, rows)
        z, w, found, count = rotated(surface.residuals, start, v[rows], angle[rows], tolerance, iterations)
        passes[rows] += count
        outcome[rows[~found]] = NO_PROJECTION
        if not found.any():
            break
        rows, start, z, w = rows[found], some(start, found), z[found], w[found]
        reached = surface.place(z)
        ahead = tangent(w, reached["across"])
        back, _, found, count = rotated(surface.residuals, reached, -ahead, angle[rows], tolerance, iterations)
        passes[rows] += 1 + count
        returned = found & ((back - start["at"]).norm(dim=1) < limit)
        outcome[rows[~returned]] = NO_RETURN
        there, v = put(there, rows, reached), v.index_copy(0, rows, ahead)
    chance = (before - energy(there, v)).exp().clamp_max(1)
    chance = torch.where((outcome == MOVED) & chance.isfinite(), chance, 0)
    outcome[(outcome == MOVED) & (uniform >= chance)] = REFUSED
    moved = (outcome == MOVED).nonzero().flatten()
    return put(place, moved, some(there, moved)), outcome, chance, passes


def some(rows_of, rows):
    """Those rows of a dict of tensors."""
    return {name: value[rows] for name, value in rows_of.items()}


def put(rows_of, rows, new):
    """A dict of tensors with the rows `rows` (n,) from `new`."""
    return {name: value.index_copy(0, rows, new[name]) for name, value in rows_of.items()}
