"""How different samples are from one another: pairwise distances and the effective number of distinct samples."""

import torch
import torch.nn.functional as F


def rms_distances(a, b):
    """Root mean square difference, (N, ...) and (M, ...) -> (N, M), at least 0, in the unit of the entries."""
    a, b = a.flatten(1).double(), b.flatten(1).double()
    return torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist") / a.shape[1] ** 0.5  # in float64: fast and exact


def cosine_distances(a, b):
    """1 - cos of the angle between features, (N, D) and (M, D) -> (N, M), in [0, 2]; 0 for the same direction."""
    return 1 - F.normalize(a.double(), dim=1) @ F.normalize(b.double(), dim=1).T


def pairs(distances):
    """The distances of all pairs of different samples: (N, N) -> (N (N - 1) / 2,)."""
    i, j = torch.triu_indices(len(distances), len(distances), offset=1)
    return distances[i, j]


def vendi_score(similarity):
    """The Vendi score, the effective number of distinct samples, in [1, N] (Friedman & Dieng 2023, TMLR, equation 2).

    The exponential of the entropy of the eigenvalues of K / N: 1 if all samples are the same, N if all are entirely
    different.

    Args:
        similarity: positive semidefinite K (N, N) with ones on the diagonal, such as cosines of features.
    """
    eigenvalues = torch.linalg.eigvalsh(similarity.double() / len(similarity)).clamp_min(0)
    return torch.special.entr(eigenvalues).sum().exp().item()


def gaussian_similarity(distances, scale):
    """exp(-(d / scale)^2 / 2), in (0, 1], of distances (N, N) in the unit of `scale`: a kernel for `vendi_score`."""
    return torch.exp(-0.5 * (distances / scale) ** 2)
