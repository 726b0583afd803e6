"""Saturation of pictures with values written out."""

import torch

from equidiff_cli.metrics.saturation import saturation


def test_values_near_both_ends_count_as_rounded():
    values = torch.tensor([0, 5, 5.4, 5.6, 6, 128, 249, 249.4, 249.6, 250, 255, 100]) / 255
    pictures = torch.stack([values.view(3, 2, 2), torch.full((3, 2, 2), 0.5)])
    assert saturation(pictures).tolist() == [6 / 12, 0.0]
