"""The invariant set of one value in the plane: the curve on which a function has a given level, computed directly.

A *field* is the function: coordinates (N, 2) -> values (N,), tensors, differentiable. A curve is a list of lines, each
(M, 2) float64: neighbouring vertices are joined, and a closed line ends where it begins.
"""

import contourpy
import numpy as np
import torch

from equidiff_cli.circles.plane import from_plane

CELLS = 800  # of the grid on which the curve is found, along each axis: 0.005 wide in the plane of the rings


def field_of(objective, k=0):
    """The field of an objective's value number k; `objective` takes points as the loop knows them."""
    return lambda points: objective(from_plane(points))[:, k]


def on_grid(field, extent, cells=CELLS):
    """Values (cells + 1, cells + 1) of the field on the square [-extent, extent]^2, rows along y, and the axis."""
    axis = np.linspace(-extent, extent, cells + 1)
    x, y = np.meshgrid(axis, axis)
    with torch.no_grad():
        points = torch.from_numpy(np.stack([x.ravel(), y.ravel()], axis=1)).float()
        values = torch.cat([field(part) for part in points.split(2**16)])
    return values.double().numpy().reshape(x.shape), axis


def slope(field, points):
    """Values (N,) and gradients (N, 2) of the field, arrays, at points (N, 2)."""
    x = torch.from_numpy(np.asarray(points)).float().requires_grad_()
    with torch.enable_grad():
        values = field(x)
        (gradient,) = torch.autograd.grad(values.sum(), x)
    return values.detach().double().numpy(), gradient.double().numpy()


def trace(field, level, extent, cells=CELLS):
    """The level curve inside the square: marching squares on a grid, then every vertex by Newton's method."""
    values, axis = on_grid(field, extent, cells)
    lines = contourpy.contour_generator(axis, axis, values).lines(level)
    return [refine(field, level, line) for line in lines]


def refine(field, level, points, steps=3):
    """Move points (N, 2) along the gradient to the level: p <- p - (f(p) - level) g / |g|^2."""
    for _ in range(steps):
        values, gradient = slope(field, points)
        points = points - ((values - level) / (gradient**2).sum(axis=1))[:, None] * gradient
    return points


def segments(lines):
    """Begin and end (S, 2, 2) of all pieces of the curve, in order."""
    return np.concatenate([np.stack([line[:-1], line[1:]], axis=1) for line in lines])


def project(points, lines):
    """The nearest place on the curve to each of points (N, 2).

    Returns the distance (N,) and the place as a piece's number plus the fraction of the piece, (N,) in [0, S]. The
    pieces are straight: with cells of 0.005 they are 6e-6 off a curve of radius 1 at most (length^2 / 8 radius).
    """
    begin, end = segments(lines).transpose(1, 0, 2)  # each (S, 2)
    parts = np.array_split(points, len(points) // 1000 + 1)  # (N, S, 2) would not fit into memory
    distance, place = zip(*(_nearest(part, begin, end - begin) for part in parts), strict=True)
    return np.concatenate(distance), np.concatenate(place)


def _nearest(points, begin, along):
    to = points[:, None] - begin  # (N, S, 2)
    fraction = (to * along).sum(axis=2) / np.maximum((along**2).sum(axis=1), 1e-30)  # a piece may have no length
    fraction = fraction.clip(0, 1)
    distance = np.linalg.norm(to - fraction[:, :, None] * along, axis=2)
    rows, nearest = np.arange(len(points)), distance.argmin(axis=1)
    return distance[rows, nearest], nearest + fraction[rows, nearest]
