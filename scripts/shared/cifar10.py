"""CIFAR-10 (Krizhevsky, 2009) as uint8 tensors, and the augmentations the training scripts share.

Generators are on the device of the pictures.
"""

import io
import pickle
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


def load(folder, split):
    """The pictures (N, 3, 32, 32) uint8 and labels (N,) int64 of `split`, "train" or "test".

    `folder` holds either `cifar10_<split>.npz` (JPEG or PNG streams: `jpeg`, `offsets`, `labels`) or the
    `cifar-10-batches-py` folder of the original distribution.
    """
    folder = Path(folder)
    archive, batches = folder / f"cifar10_{split}.npz", folder / "cifar-10-batches-py"
    if archive.exists():
        return _load_streams(archive)
    if batches.exists():
        return _load_batches(batches, split)
    raise FileNotFoundError(f"--data={folder}: neither {archive.name} nor {batches.name}/ is in it")


def _load_streams(archive):
    with np.load(archive) as data:
        stream, offsets, labels = data["jpeg"].tobytes(), data["offsets"], data["labels"]
    images = np.empty((len(labels), 32, 32, 3), np.uint8)
    for i in range(len(labels)):
        images[i] = Image.open(io.BytesIO(stream[offsets[i] : offsets[i + 1]])).convert("RGB")
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels).long()


def _load_batches(folder, split):
    names = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
    parts = [pickle.loads((folder / name).read_bytes(), encoding="bytes") for name in names]
    images = np.concatenate([part[b"data"] for part in parts]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([part[b"labels"] for part in parts])
    return torch.from_numpy(images), torch.from_numpy(labels).long()


def random_flip(images, generator):
    """Mirror each picture of (N, C, H, W) left to right with probability one half."""
    flip = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
    return torch.where(flip, images.flip(-1), images)


def random_shift(images, pixels, generator):
    """Shift each picture of (N, C, H, W) by up to `pixels` in both directions; the border is mirrored."""
    n, _, h, w = images.shape
    padded = F.pad(images, (pixels,) * 4, mode="reflect")
    dy, dx = torch.randint(0, 2 * pixels + 1, (2, n), generator=generator, device=images.device)
    rows = (dy[:, None] + torch.arange(h, device=images.device))[:, None, :, None]  # (N, 1, H, 1)
    columns = (dx[:, None] + torch.arange(w, device=images.device))[:, None, None, :]  # (N, 1, 1, W)
    index = torch.arange(n, device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return padded[index, channel, rows, columns]


def random_erase(images, size, generator):
    """Blank one `size` x `size` square of each picture of (N, C, H, W) (Cutout, DeVries & Taylor 2017)."""
    n, _, h, _ = images.shape
    y, x = torch.randint(0, h - size + 1, (2, n), generator=generator, device=images.device)
    return images.masked_fill(_inside(images, y, y + size, x, x + size), 0.0)


def random_mix(images, generator):
    """Put a rectangle of another picture into each one of (N, C, H, W) (CutMix, Yun et al. 2019).

    Returns the pictures, the index (N,) of the other ones, and the share (N,) of the area that they take: uniform in
    [0, 1], but for what of a rectangle, whose centre may be anywhere, falls outside.
    """
    n, _, h, w = images.shape
    other = torch.randperm(n, generator=generator, device=images.device)
    share, y, x = torch.rand(3, n, generator=generator, device=images.device)
    half = share.sqrt() / 2
    inside = _inside(images, (y - half) * h, (y + half) * h, (x - half) * w, (x + half) * w)
    return torch.where(inside, images[other], images), other, inside.float().mean((1, 2, 3))


def _inside(images, top, bottom, left, right):
    """(N, 1, H, W): where a rectangle lies in each picture, its sides (N,) in pixels, the lower and right one open."""
    rows, columns = (torch.arange(side, device=images.device)[None] for side in images.shape[-2:])
    rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    columns = (columns >= left[:, None]) & (columns < right[:, None])
    return (rows[:, :, None] & columns[:, None, :])[:, None]
