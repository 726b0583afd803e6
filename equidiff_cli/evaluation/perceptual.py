"""LPIPS, where torchmetrics is installed and the weights of AlexNet are in torch's cache already."""

import importlib.util
from pathlib import Path

import torch

ALEXNET = "alexnet-owt-7be5be79.pth"  # as torchvision names it


def lpips_missing():
    """Why there is no LPIPS, or None."""
    if importlib.util.find_spec("torchmetrics") is None:
        return "torchmetrics is not installed"
    file = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET
    return None if file.is_file() else f"its weights are not at hand ({file})"


@torch.no_grad()
def lpips_pairs(x, at_once=256):
    """LPIPS of all pairs of different pictures (N, 3, H, W) in [0, 1]: (N (N - 1) / 2,), on the CPU.

    Pictures smaller than 64 pixels are enlarged to that first: AlexNet sees nothing in smaller ones.
    """
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity as lpips

    x = x.cpu()
    if x.shape[-1] < 64:
        x = torch.nn.functional.interpolate(x, size=(64, 64), mode="bicubic", antialias=True).clamp(0, 1)
    found = [
        lpips(x[i], x[j], net_type="alex", reduction="none", normalize=True).flatten()
        for i, j in (part.unbind() for part in torch.triu_indices(len(x), len(x), offset=1).split(at_once, dim=1))
    ]
    return torch.cat(found)
