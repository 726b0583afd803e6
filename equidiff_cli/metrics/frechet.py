"""Distances between two sets of features, (N, D) and (M, D), and precision and recall; all computed in float64."""

import torch


def frechet_distance(a, b):
    """The squared Frechet distance between Gaussians fitted to both sets, at least 0 (Heusel et al. 2017).

    |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), in squared units of the features. Biased upwards for few samples:
    compare only numbers from equally many.
    """
    a, b = a.double(), b.double()
    difference = (a.mean(0) - b.mean(0)).square().sum()
    if a.shape[1] > len(a) + len(b):  # the same by the singular values of (N, M) instead of covariances (D, D)
        a, b = (part - part.mean(0) for part in (a, b))
        a, b = a / (len(a) - 1) ** 0.5, b / (len(b) - 1) ** 0.5
        overlap = torch.linalg.svdvals(a @ b.T).sum()
        return (difference + a.square().sum() + b.square().sum() - 2 * overlap).clamp_min(0).item()
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    root_a = square_root(cov_a)
    # (A B)^(1/2) has the trace of the symmetric (A^(1/2) B A^(1/2))^(1/2)
    overlap = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp_min(0).sqrt().sum()
    return (difference + cov_a.trace() + cov_b.trace() - 2 * overlap).clamp_min(0).item()


def square_root(matrix):
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def kernel_distance(a, b):
    """The squared maximum mean discrepancy with the kernel (x . y / D + 1)^3, unbiased (KID, Binkowski et al. 2018).

    0 on average for sets from one distribution, so it may be below 0; its expectation does not depend on N and M.
    """
    a, b = a.double(), b.double()
    k_aa, k_bb, k_ab = _cubic(a, a), _cubic(b, b), _cubic(a, b)
    n, m = len(a), len(b)
    within_a = (k_aa.sum() - k_aa.trace()) / (n * (n - 1))
    within_b = (k_bb.sum() - k_bb.trace()) / (m * (m - 1))
    return (within_a + within_b - 2 * k_ab.mean()).item()


def _cubic(a, b):
    return (a @ b.T / a.shape[1] + 1) ** 3


def precision_recall(real, samples, k=3):
    """Improved precision and recall, each in [0, 1] (Kynkaanniemi et al. 2019, arXiv:1904.06991).

    A set covers a point that lies within one of its members' distance to that member's k-th nearest neighbour.
    Precision is the share of samples that the real set covers, recall the share of the real set that samples cover.
    """
    return tuple(covered(*sets, k).double().mean().item() for sets in ((real, samples), (samples, real)))


def covered(by, points, k=3):
    """Whether each of the points (M, D) is covered by a set (N, D), as in `precision_recall`: (M,) of booleans."""
    by, points = by.double(), points.double()
    return (_distances(by, points) <= _reach(by, k)[:, None]).any(0)


def _reach(points, k):
    """The distance of each point to its k-th nearest neighbour, itself not counted."""
    return _distances(points, points).kthvalue(k + 1, dim=1).values


def _distances(a, b):
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
