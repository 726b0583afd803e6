"""Level curves of functions whose curves are known."""

import math

import numpy as np
import pytest
import torch

from equidiff_cli.circles.levelcurve import project, refine, segments, slope, trace


def squared_radius(points):
    return points.square().sum(1)


def ellipse(points):
    return (points[:, 0] / 1.5).square() + (points[:, 1] / 0.5).square()


def length(lines):
    pieces = segments(lines)
    return np.linalg.norm(pieces[:, 1] - pieces[:, 0], axis=1).sum()


def test_a_circle_is_one_closed_line_of_its_radius():
    (line,) = trace(squared_radius, 0.81, 2.0, cells=200)
    assert np.abs(np.linalg.norm(line, axis=1) - 0.9).max() < 1e-6
    assert np.allclose(line[0], line[-1], atol=1e-6)
    assert length([line]) == pytest.approx(2 * math.pi * 0.9, rel=1e-4)
    angle = np.unwrap(np.arctan2(line[:, 1], line[:, 0]))
    assert abs(angle[-1] - angle[0]) == pytest.approx(2 * math.pi, abs=1e-4), "once around"


def test_an_ellipse_has_the_right_points_and_length():
    (line,) = trace(ellipse, 1.0, 2.0, cells=400)
    assert np.abs((line[:, 0] / 1.5) ** 2 + (line[:, 1] / 0.5) ** 2 - 1).max() < 1e-5
    t = (np.arange(100_000) + 0.5) / 100_000 * 2 * math.pi
    perimeter = np.hypot(1.5 * np.sin(t), 0.5 * np.cos(t)).mean() * 2 * math.pi
    assert length([line]) == pytest.approx(perimeter, rel=1e-4)


def test_all_parts_of_a_curve_are_found():
    def two_discs(points):
        x, y = points.T
        return torch.minimum((x - 1) ** 2 + y**2, (x + 1) ** 2 + y**2)

    lines = trace(two_discs, 0.25, 2.0, cells=200)
    assert sorted(round(line[:, 0].mean()) for line in lines) == [-1, 1]
    assert length(lines) == pytest.approx(2 * math.pi, rel=1e-3)


def test_a_curve_that_leaves_the_square_is_open():
    (line,) = trace(lambda points: points[:, 0] - points[:, 1] / 2, 0.25, 2.0, cells=50)
    assert {round(abs(y), 3) for y in line[[0, -1], 1]} == {2.0}
    assert np.allclose(line[:, 0] - line[:, 1] / 2, 0.25, atol=1e-6)


def test_a_level_that_is_not_reached_has_no_curve():
    assert trace(squared_radius, -1.0, 2.0, cells=20) == []


def test_slope_is_value_and_gradient():
    points = np.array([[0.3, -0.2], [1.0, 0.5]])
    values, gradient = slope(ellipse, points)
    assert np.allclose(values, [0.04 + 0.16, 1 / 2.25 + 1])
    assert np.allclose(gradient, points * [2 / 2.25, 8], rtol=1e-6)


def test_refine_moves_along_the_gradient():
    points = np.array([[0.8, 0.0], [0.0, -1.1], [0.6, 0.6]])
    refined = refine(squared_radius, 1.0, points)
    assert np.allclose(refined, points / np.linalg.norm(points, axis=1, keepdims=True), atol=1e-6)


def test_distance_and_place_on_a_circle():
    (line,) = trace(squared_radius, 1.0, 2.0, cells=400)
    generator = np.random.default_rng(0)
    radius, angle = generator.uniform(0.2, 1.8, 2500), generator.uniform(-math.pi, math.pi, 2500)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    distance, place = project(points, [line])
    assert np.abs(distance - np.abs(radius - 1)).max() < 2.6e-5, "the sagitta of a chord across a cell of 0.01"
    vertices = np.unwrap(np.arctan2(line[:, 1], line[:, 0]))
    found = np.interp(place, np.arange(len(line)), vertices)
    assert np.abs(np.angle(np.exp(1j * (found - angle)))).max() < 0.01


def test_places_on_several_lines_are_counted_through():
    lines = [np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 3.0]])]
    distance, place = project(np.array([[0.5, -0.1], [1.25, 0.2], [0.3, 2.5], [-1.0, 0.0], [5.0, 0.0]]), lines)
    assert np.allclose(distance, [0.1, 0.2, 0.3, 1.0, 3.0])
    assert np.allclose(place, [0.5, 1.25, 2.75, 0.0, 2.0])
