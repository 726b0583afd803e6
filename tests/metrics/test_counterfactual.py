"""COUT where the curves are known."""

import pytest
import torch

from equidiff_cli.metrics.counterfactual import cout


def lit(x):
    """Two classes: the share of pixels that are white, and the rest."""
    share = x.mean((1, 2, 3))
    return torch.stack([1 - share, share], dim=1)


def test_pixels_that_count_alike_turn_the_decision_in_proportion():
    """The wanted class rises from 0 to 1 along a line, and the other falls: both areas are 1/2."""
    before, after = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    assert cout(lit, before, after, 0, 1, steps=16).item() == pytest.approx(0, abs=1e-6)


def test_a_few_pixels_that_decide_give_nearly_1():
    before, after = torch.zeros(1, 3, 8, 8), torch.full((2, 3, 8, 8), 0.1)
    after[0, :, 0, 0] = 1  # what the network looks at changes most, and so comes first
    after[1, :, 0, 0] = 0.01  # changes least, and comes last

    def decided(x):
        corner = (x[:, 0, 0, 0] > 0.005).float()
        return torch.stack([1 - corner, corner], dim=1)

    first, last = cout(decided, before, after, 0, 1, steps=64).tolist()
    assert first == pytest.approx(1 - 1 / 64, abs=1e-6) and last == pytest.approx(-1 + 1 / 64, abs=1e-6)
