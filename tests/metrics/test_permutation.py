"""Distances over divisions: the first is the number that the other formulas give, the others are those of chance."""

import numpy as np
import pytest
import torch

from equidiff_cli.metrics import permutation
from equidiff_cli.metrics.frechet import kernel_distance
from equidiff_cli.metrics.spectrum import spectral_distance


def rows(n, d, shift=0.0, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def test_divisions_keep_the_sizes_and_begin_with_the_one_that_is():
    found = permutation.divisions(3, 5, 50, 0)
    assert found.shape == (51, 8) and found[0].tolist() == [True] * 3 + [False] * 5
    assert (found.sum(1) == 3).all() and len({tuple(row) for row in found.tolist()}) > 20


def test_the_kernel_distance_of_every_division_is_kid():
    features, divided = torch.cat([rows(6, 4), rows(9, 4, 0.5, 1)]), permutation.divisions(6, 9, 5, 0)
    found = permutation.kernel(features, divided)
    expected = [kernel_distance(features[row], features[~row]) for row in divided]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_the_spectral_distance_is_that_of_the_metrics():
    power, divided = rows(10, 5).exp(), permutation.divisions(4, 6, 3, 0)
    expected = [spectral_distance(power[row].double(), power[~row].double()) for row in divided]
    assert permutation.spectral(power, divided).tolist() == pytest.approx(expected)


def test_total_variation_of_class_shares():
    classes = torch.eye(3)[[0, 0, 1, 2, 2, 2]]
    divided = permutation.divisions(3, 3, 2, 0)
    found = permutation.total_variation(classes, divided)
    assert found[0].item() == pytest.approx(1.0)  # 2/3, 1/3, 0 against 0, 0, 1
    shares = [(classes[row].numpy().mean(0), classes[~row].numpy().mean(0)) for row in divided]
    assert found.tolist() == pytest.approx([np.abs(p - q).sum() / 2 for p, q in shares])


def test_chance_covers_equal_laws_and_no_others():
    inside = 0
    for seed in range(60):
        features = torch.cat([rows(12, 3, seed=2 * seed), rows(20, 3, seed=2 * seed + 1)])
        found = permutation.kernel(features, permutation.divisions(12, 20, 99, seed))
        inside += found[0].item() <= found[1:].quantile(0.9).item()
    assert 45 <= inside <= 60, "about nine in ten"
    features = torch.cat([rows(12, 3), rows(20, 3, 1.5, 1)])
    found = permutation.kernel(features, permutation.divisions(12, 20, 99, 0))
    assert found[0] > found[1:].max()
