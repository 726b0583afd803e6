"""Groups among the members: where the network looks, as in SpRAy (Lapuschkin et al. 2019), and what they look like."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import SpectralClustering

from equidiff_cli.engine.device import exact

SIDE = 8  # of the maps that are compared
MOST = 5  # clusters
FEWEST = 16  # members, of which clusters make sense
TELLING = 3  # attributes that tell a cluster from the rest
SHOWN = 6  # pictures of a cluster


def clusters(subject):
    """What was found by maps of the gradient and by held-out features: a dict each, or why there are none."""
    if len(subject.members) < FEWEST:
        return {"reason": f"needs {FEWEST} members, there are {len(subject.members)}"}
    case = subject.case
    last = case.networks[-1]
    spaces = {
        "gradient": ("where the network looks", maps(case, subject.members), maps(case, subject.unguided)),
        "features": (f"features of {last.name}", *(set.features(last) for set in (subject.members, subject.unguided))),
    }
    return {
        "spaces": [
            {"space": space, "title": title} | found(subject, mine.double(), chance.double())
            for space, (title, mine, chance) in spaces.items()
        ]
    }


def maps(case, set):
    """Where the objective is sensitive: |gradient| summed over channels, (N, SIDE SIDE), sum 1 a picture (Simonyan et
    al. 2014, arXiv:1312.6034)."""
    parts = []
    for part in set.pictures.split(case.options.batch):
        x = part.clone().requires_grad_()
        with exact(), torch.enable_grad():
            (gradient,) = torch.autograd.grad(case.objective(x).float().sum(), x)
        parts.append(F.adaptive_avg_pool2d(gradient.abs().sum(1, keepdim=True), SIDE).flatten(1).cpu())
    found = torch.cat(parts)
    return found / found.sum(1, keepdim=True).clamp_min(1e-30)


def found(subject, mine, chance):
    """The clusters of members by rows (N, D), and the shares of unguided samples, rows (M, D), that are nearest to
    each."""
    scale = mine.std(0).clamp_min(1e-12 * (1 + mine.abs().max()))
    mine, chance = mine / scale, chance / scale
    similar = similarity(mine)
    count, gaps = eigengap(similar)
    if count == 1:
        return {"count": 1, "gaps": gaps, "clusters": []}
    model = SpectralClustering(count, affinity="precomputed", random_state=subject.case.options.seed)
    labels = torch.from_numpy(model.fit_predict(similar.numpy()).astype(np.int64))
    nearest = labels[torch.cdist(chance, mine).argmin(1)]
    order = labels.bincount(minlength=count).argsort(descending=True).tolist()
    return {"count": count, "gaps": gaps, "clusters": [described(subject, labels == k, nearest == k) for k in order]}


def similarity(rows):
    """Similarities (N, N) in [0, 1]: Gaussian, with the distance to the seventh neighbour as each one's own width
    (Zelnik-Manor & Perona 2004)."""
    far = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    width = far.kthvalue(min(8, len(rows)), dim=1).values.clamp_min(1e-12)
    return torch.exp(-far.square() / (width[:, None] * width))


def eigengap(similar):
    """How many clusters there are, at most `MOST`, and the gaps between the first eigenvalues of the normalised
    Laplacian: the largest one decides (von Luxburg 2007); 1 where it follows the first eigenvalue."""
    root = similar.sum(1).rsqrt()
    values = torch.linalg.eigvalsh(torch.eye(len(similar)) - root[:, None] * similar * root)[: MOST + 1]
    gaps = values.diff()
    return int(gaps.argmax()) + 1, gaps.tolist()


def described(subject, inside, nearest):
    """One cluster: its pictures, its share beside that of unguided samples, what tells it from the other members."""
    table = subject.table(subject.members)
    mine, rest = table[inside], table[~inside]
    apart = (mine.mean(0) - rest.mean(0)) / table.std(0).clamp_min(1e-12)
    telling = [
        {"name": one.name, "title": one.title, "end": one.high if apart[i] > 0 else one.low, "apart": apart[i].item()}
        for i, one in ((i, subject.varied[i]) for i in apart.abs().argsort(descending=True)[:TELLING].tolist())
    ]
    return {
        "size": int(inside.sum()),
        "share": inside.double().mean().item(),
        "unguided_share": nearest.double().mean().item(),
        "telling": telling,
        "files": [subject.files[i] for i in inside.nonzero().flatten()[:SHOWN].tolist()],
    }
