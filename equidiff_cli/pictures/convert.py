"""Pictures as files hold them <-> pictures as networks see them."""

import numpy as np
from PIL import Image


def to_tensor(image):
    """RGB `PIL.Image` -> (3, H, W), float32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255


def to_image(x):
    """(3, H, W) in [0, 1] -> RGB `PIL.Image`, rounded to the nearest of 256 values; what lies outside is clamped."""
    x = x.detach().float().clamp(0, 1).nan_to_num(0)
    return Image.fromarray((x * 255).round().byte().permute(1, 2, 0).cpu().numpy())
