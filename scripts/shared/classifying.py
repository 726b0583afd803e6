"""What an embedded classifier makes of pictures, and whether its probabilities mean what they say."""

import torch

from equidiff_cli.target.small import MEAN, STD


def normalised(images):
    """Pictures (N, 3, 32, 32) uint8 as the classifiers take them."""
    mean, std = (torch.tensor(x)[:, None, None] for x in (MEAN, STD))
    return (images / 255 - mean) / std


@torch.no_grad()
def logits_of(model, images):
    """Logits (N, classes) of normalised pictures, on the CPU."""
    model.eval()
    return torch.cat([model(part).cpu() for part in images.split(500)])


def calibration_error(logits, labels, bins=15):
    """Expected calibration error: |accuracy - confidence| averaged over bins of confidence (Guo et al. 2017)."""
    confidence, predicted = logits.softmax(1).max(1)
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = (predicted == labels).float() - confidence
    return torch.zeros(bins).index_add_(0, index, gap).abs().sum().item() / len(labels)
