"""What happens to pictures on their way to a reader: 8 bits, JPEG, a shift by half a pixel. (N, 3, H, W) in [0, 1]."""

import io

import torch
from PIL import Image

from equidiff_cli.pictures.convert import to_image, to_tensor


def rounded(x):
    """Rounded to 8 bits, as a PNG holds them."""
    return (x.clamp(0, 1) * 255).round() / 255


def jpeg(x, quality):
    """Through a JPEG file of a quality in 1 to 95, as Pillow writes it: colour at half the resolution (4:2:0)."""
    return torch.stack([_jpeg(picture, quality) for picture in x]).to(x.device)


def _jpeg(picture, quality):
    file = io.BytesIO()
    to_image(picture).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(file) as image:
        return to_tensor(image)


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
