"""Cells of an input: where maps are compared, and what perturbations take away."""

import torch


def cell_of(height, width, cells):
    """(h, w) -> the number of the cell of each pixel, 0 to cells^2 - 1, row by row; fewer a side on smaller inputs."""
    down, across = (torch.arange(side) * min(cells, side) // side for side in (height, width))
    return down[:, None] * min(cells, width) + across


def pooled(attributions, cells):
    """Sums (N, cells^2) over the pixels and channels of each cell, of attributions (N, C, h, w)."""
    where = cell_of(*attributions.shape[-2:], cells).flatten()
    flat = attributions.sum(1).flatten(1)
    return flat.new_zeros(len(flat), int(where.max()) + 1).index_add_(1, where, flat)


def masked(inputs, baseline, kept, where):
    """Inputs (N, C, h, w) with the baseline (1, C, h, w) in place of the cells that `kept` (N, cells^2) does not have.

    Args:
        where: (h, w) as of `cell_of`.
    """
    return torch.where(kept[:, where][:, None].to(inputs.device), inputs, baseline)
