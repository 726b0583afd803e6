"""Distances and the Vendi score on sets for which they are known."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from equidiff_cli.metrics.diversity import cosine_distances, gaussian_similarity, pairs, rms_distances, vendi_score


def test_distances_against_scipy():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 7, generator=generator), torch.randn(4, 7, generator=generator)
    np.testing.assert_allclose(rms_distances(a, b), cdist(a, b) / math.sqrt(7), rtol=1e-6)
    np.testing.assert_allclose(cosine_distances(a, b), cdist(a, b, "cosine"), rtol=1e-5)


def test_rms_distance_of_black_and_white_is_one():
    assert rms_distances(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)).item() == pytest.approx(1)


def test_pairs_are_the_upper_triangle():
    assert pairs(torch.arange(9.0).view(3, 3)).tolist() == [1, 2, 5]


def test_vendi_score_counts_distinct_samples():
    assert vendi_score(torch.ones(6, 6)) == pytest.approx(1)
    assert vendi_score(torch.eye(6)) == pytest.approx(6)
    two_kinds = torch.block_diag(torch.ones(3, 3), torch.ones(3, 3))
    assert vendi_score(two_kinds) == pytest.approx(2)
    uneven = torch.block_diag(torch.ones(1, 1), torch.ones(3, 3))  # entropy of (1/4, 3/4)
    assert vendi_score(uneven) == pytest.approx(math.exp(-0.25 * math.log(0.25) - 0.75 * math.log(0.75)))


def test_gaussian_similarity():
    assert gaussian_similarity(torch.tensor([0.0, 2.0]), 2.0).tolist() == pytest.approx([1, math.exp(-0.5)])
