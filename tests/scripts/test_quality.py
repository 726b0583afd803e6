"""Finding copies of training pictures among samples."""

import pytest
import torch

from scripts.shared import quality


def test_copies_and_their_mirror_images_are_found():
    train = torch.randint(1, 255, (6, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    far = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    pictures = torch.cat([train[4:5], train[2:3].flip(-1), train[1:2] + 1, far])
    away = quality.nearest(pictures, train)
    assert away[:2].tolist() == pytest.approx([0, 0], abs=1e-4)
    assert away[2].item() == pytest.approx(1 / 255, rel=0.02)
    assert away[3].item() == pytest.approx((train / 255).square().mean((1, 2, 3)).sqrt().min().item(), rel=1e-4)
