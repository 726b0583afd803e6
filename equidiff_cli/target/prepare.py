"""What is done to pictures before a network sees them, in torch alone: torchvision takes longer to import."""

import torch.nn.functional as F
from torch import nn


def resized(x, size, mode):
    """Pictures (N, C, H, W) resized along rows, then along columns, clamped to [0, 1] after each, as Pillow does it
    with squares.

    Cubic splines overshoot at edges by up to a third of their height. Pillow stores a picture after each of the two
    passes, which clips; on tensors nothing does, and one clamp at the end would leave up to 30 levels of 255.

    Args:
        size: (height, width).
        mode: of `F.interpolate`; "bilinear" and "bicubic" are made wider where a picture shrinks, as Pillow does.
    """
    smooth = dict(align_corners=False, antialias=True) if mode in ("bilinear", "bicubic") else {}
    for now in ((x.shape[-2], size[1]), tuple(size)):
        if now != tuple(x.shape[-2:]):
            x = F.interpolate(x, now, mode=mode, **smooth)
        x = x.clamp(0, 1)
    return x


class Square(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1] -> (N, 3, side, side): the shorter side resized by cubic splines, the centre cut
    out, normalised.

    Args:
        mean, std: of each channel, in [0, 1].
    """

    def __init__(self, side, mean, std):
        super().__init__()
        self.side, self.mean, self.std = side, mean, std

    def forward(self, x):
        shorter = min(x.shape[-2:])
        size = [self.side * one // shorter for one in x.shape[-2:]]
        top, left = (round((one - self.side) / 2) for one in size)
        x = resized(x, size, "bicubic")[..., top : top + self.side, left : left + self.side]
        mean, std = (x.new_tensor(one).view(-1, 1, 1) for one in (self.mean, self.std))
        return x.sub(mean).div_(std)


class Luminance(nn.Module):
    """Pictures (N, 3, H, W) -> their luminance (N, 1, H, W), ITU-R BT.601."""

    def forward(self, x):
        red, green, blue = x.split(1, dim=1)
        return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)
