"""The data: two concentric rings, of which the unit circle is the boundary.

A point has a uniform angle and a normal radius, around 0.7 for the class "inside" and 1.3 for "outside". So the density
and the log-odds of the classes have closed forms, and the log-odds are 0 on the unit circle.
"""

import math

import numpy as np

CLASSES = ("inside", "outside")
RADII, WIDTH = (0.7, 1.3), 0.15  # mean radius of each class, standard deviation of the radius
COUNT, SEED = 1500, 0  # of the points that the networks are trained on


def draw(count, generator):
    """`count` points (count, 2), float64, and their classes (count,), from a NumPy generator."""
    label = generator.integers(0, 2, count)
    radius = np.asarray(RADII)[label] + WIDTH * generator.standard_normal(count)
    angle = generator.uniform(0, 2 * math.pi, count)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), label


def training_points():
    """The 1,500 points and classes that the shipped networks were trained on."""
    return draw(COUNT, np.random.default_rng(SEED))


def density(points):
    """Probability a unit of area (N,) at points (N, 2): the density of the radius over the circumference.

    The chance of a negative radius, 2e-6, is left out.
    """
    radius = np.linalg.norm(points, axis=1)
    scores = (radius[:, None] - np.asarray(RADII)) / WIDTH  # (N, 2)
    of_radius = np.exp(-(scores**2) / 2).mean(axis=1) / (WIDTH * math.sqrt(2 * math.pi))
    return of_radius / (2 * math.pi * radius)


def log_odds(points):
    """log p(inside | x) / p(outside | x) (N,) at points (N, 2): what an ideal classifier would give."""
    radius = np.linalg.norm(points, axis=1)
    inner, outer = RADII
    return ((radius - outer) ** 2 - (radius - inner) ** 2) / (2 * WIDTH**2)
