"""Concepts that nobody named: segments of members that a layer sees alike."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from skimage.segmentation import slic
from sklearn.cluster import KMeans

from equidiff_cli.explain.units import pooled_units
from equidiff_cli.request.explanation import FEWEST

SEGMENTS = 8  # of a picture, about
GREY = 0.5  # around a segment


@dataclass
class Clusters:
    """What was found.

    Args:
        concepts: name -> inputs (M, C, h, w) of the segments of a cluster.
        pictures: name -> the segments themselves (M, 3, H, W).
        members: name -> the members that they are of.
        others: inputs of segments of unguided samples.
    """

    concepts: dict
    pictures: dict
    members: dict
    others: torch.Tensor


def segments(pictures):
    """Segments (S, 3, H, W) of pictures (N, 3, H, W), each enlarged to fill a picture, grey around it, and the picture
    (S,) of each (SLIC, Achanta et al. 2012)."""
    found, of = [], []
    for i, picture in enumerate(pictures.cpu()):
        labels = slic(picture.permute(1, 2, 0).numpy(), n_segments=SEGMENTS, compactness=10, start_label=0)
        for label in np.unique(labels):
            inside = torch.from_numpy(labels == label)
            rows, columns = (inside.any(axis).nonzero().flatten() for axis in (1, 0))
            box = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            cut = torch.where(inside, picture, GREY)[box]
            found.append(F.interpolate(cut[None], picture.shape[1:], mode="bilinear", antialias=True)[0])
            of.append(i)
    return torch.stack(found), torch.tensor(of)


def clusters(case):
    """Segments of the members in clusters of the last layer's features, those with at least `FEWEST` segments of at
    least two members, the most common ones first (ACE, Ghorbani et al. 2019, arXiv:1902.03129)."""
    device, options = case.query.pictures.device, case.options
    pictures, of = segments(case.samples.pictures)
    inputs = case.forward.enter(pictures.to(device))
    features = F.normalize(pooled_units(case, inputs, case.layers[-1]), dim=1)
    count = min(options.clusters, len(pictures) // FEWEST)
    if count < 1:
        raise ValueError(f"{len(pictures)} segments are too few for clusters")
    labels = KMeans(count, n_init=4, random_state=options.seed).fit(features.numpy()).labels_
    rows = [torch.from_numpy(np.flatnonzero(labels == k)) for k in range(count)]
    rows = [one for one in rows if len(one) >= FEWEST and len(of[one].unique()) >= 2]
    rows = sorted(rows, key=lambda one: -len(of[one].unique()))
    names = [f"cluster{k}" for k in range(len(rows))]
    others, _ = segments(case.everyone.pictures[: max(16, len(case.samples))])
    return Clusters(
        {name: inputs[one.to(device)] for name, one in zip(names, rows, strict=True)},
        {name: pictures[one] for name, one in zip(names, rows, strict=True)},
        {name: sorted(set(of[one].tolist())) for name, one in zip(names, rows, strict=True)},
        case.forward.enter(others.to(device)),
    )
