"""What happens to pictures on their way to a reader: a JPEG file, a shift by half a pixel. (N, 3, H, W) in [0, 1]."""

import torch


def jpeg(x, quality):
    """Through a JPEG file of a quality in 1 to 95: colour at half the resolution (4:2:0); on the CPU, as files are."""
    from torchvision.transforms.v2 import functional  # takes as long to import as torch

    pictures = (x.detach().cpu().float().clamp(0, 1) * 255).round().byte()
    return torch.stack([functional.jpeg(picture, quality) for picture in pictures]).to(x.device).float() / 255


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
