"""Comparisons of maps against scipy, numpy and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from equidiff_cli.metrics.attribution import (
    high_share,
    highest,
    infidelity,
    overlap,
    rank_correlation,
    ranks,
    sign_agreement,
    unit,
)


def test_rank_correlation_is_that_of_scipy_with_ties():
    a, b = (torch.randint(5, (6, 20), generator=torch.Generator().manual_seed(k)).float() for k in (0, 1))
    found = rank_correlation(a, b)
    assert found.tolist() == pytest.approx([spearmanr(*pair)[0] for pair in zip(a, b, strict=True)], abs=1e-6)
    assert ranks(torch.tensor([[3.0, 1.0, 3.0]])).tolist() == [[1.5, 0, 1.5]]
    assert rank_correlation(torch.ones(1, 4), torch.arange(4.0)[None]).item() == 0


def test_overlap_and_signs_of_known_maps():
    a, b = torch.tensor([[4.0, 3, 2, 1]]), torch.tensor([[4.0, 1, 3, 2]])
    assert highest(a, 0.5).tolist() == [[True, True, False, False]]
    assert overlap(a, b, 0.5).item() == pytest.approx(1 / 3)
    assert highest(torch.ones(1, 4), 0.25).sum() == 1
    assert sign_agreement(a, -a).item() == 0 and sign_agreement(a, b).item() == 1
    assert sign_agreement(a, torch.zeros(1, 4)).item() == 0.5
    mixed = sign_agreement(torch.tensor([[1.0, -1.0]]), torch.tensor([[4.0, 1.0]]))
    assert mixed.item() == pytest.approx(2 / 3)  # weights 2 and 1


def test_infidelity_is_one_less_the_squared_correlation():
    generator = torch.Generator().manual_seed(0)
    removed, drops = (torch.randn(3, 30, generator=generator) for _ in range(2))
    expected = [1 - np.corrcoef(*pair)[0, 1] ** 2 for pair in zip(removed.numpy(), drops.numpy(), strict=True)]
    assert infidelity(removed, drops).tolist() == pytest.approx(expected)
    assert infidelity(removed, 3 * removed + 2).tolist() == pytest.approx([0, 0, 0], abs=1e-9)
    assert infidelity(torch.ones(1, 5), torch.arange(5.0)[None]).item() == 1


def test_the_energy_of_noise_and_of_waves():
    noise = torch.randn(4, 64, 64, generator=torch.Generator().manual_seed(0))
    assert high_share(noise, 0.5).tolist() == pytest.approx([1 - math.pi / 16] * 4, abs=0.03)
    rows = torch.arange(64.0)
    slow, fast = torch.sin(2 * math.pi * rows / 16), torch.cos(math.pi * rows)
    waves = torch.stack([slow, fast])[:, None].expand(2, 64, 64)
    assert high_share(waves, 0.5).tolist() == pytest.approx([0, 1], abs=1e-6)
    assert unit(torch.tensor([[3.0, 4.0], [0, 0]])).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
