"""What happens to pictures on their way to a reader, a JPEG file or a shift by half a pixel, and common augmentations.
(N, 3, H, W) in [0, 1]."""

import io

import torch
import torch.nn.functional as F
from PIL import Image

from equidiff_cli.pictures.convert import to_image, to_tensor


def jpeg(x, quality):
    """Through a JPEG file of a quality in 1 to 95: colour at half the resolution (4:2:0); on the CPU, as files are."""
    read = []
    for picture in x:
        file = io.BytesIO()
        to_image(picture).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        read.append(to_tensor(Image.open(file)))
    return torch.stack(read).to(x.device)


def augmented(x, count, seed):
    """Common augmentations of a picture (1, 3, H, W), (count, 3, H, W): mirrored or not, cropped to a square of 0.8 to
    1 of its side and resized, brightness, contrast and saturation times 0.8 to 1.2 each; rounded as files are.
    """
    from torchvision.transforms.v2 import functional  # takes longer to import than torch

    made = []
    for number in range(count):
        generator = torch.Generator().manual_seed(seed * 2**20 + number)
        mirrored, side, down, across, *colour = torch.rand(7, generator=generator).tolist()
        size = x.shape[-1]
        side = round(size * (0.8 + 0.2 * side))
        top, left = (round((size - side) * place) for place in (down, across))
        part = x[..., top : top + side, left : left + side]
        part = F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        part = part.flip(-1) if mirrored < 0.5 else part
        brightness, contrast, saturation = (0.8 + 0.4 * one for one in colour)
        part = functional.adjust_contrast((brightness * part).clamp(0, 1), contrast)
        made.append(functional.adjust_saturation(part, saturation))
    return (torch.cat(made) * 255).round() / 255


def half_pixel_shift(x):
    """Moved right and down by half a pixel, by Fourier phases on the mirrored picture; clamped to [0, 1].

    Every frequency below Nyquist keeps its amplitude, unlike with linear interpolation, which also blurs. The picture
    is continued by its mirror image, so nothing wraps around.
    """
    height, width = x.shape[-2:]
    mirrored = torch.cat([x.float(), x.float().flip(-1)], dim=-1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], dim=-2)  # (N, 3, 2H, 2W)
    fy = torch.fft.fftfreq(2 * height, device=x.device)[:, None]
    fx = torch.fft.rfftfreq(2 * width, device=x.device)
    phase = torch.exp(-2j * torch.pi * 0.5 * (fx + fy))
    moved = torch.fft.irfft2(torch.fft.rfft2(mirrored) * phase, s=mirrored.shape[-2:])
    return moved[..., :height, :width].clamp(0, 1)
