"""Can a simple detector tell members from real pictures, and do unguided samples give themselves away as much?"""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from equidiff_cli.audit.attributes.attribute import grey
from equidiff_cli.metrics import permutation
from equidiff_cli.metrics.compare import area_under_curve
from equidiff_cli.metrics.spectrum import decibels, radial
from equidiff_cli.study.sets import Set

FEWEST = 16  # pictures of each kind
FOLDS = 5
STEP, REACH = 4 / 255, 2  # of differences of neighbours: a level, and how many levels either way
ROUNDS = 500


def detector(subject):
    """Areas under the curve, each with its interval, and tests of two samples; or why there are none."""
    case, real = subject.case, subject.case.real
    if real is None:
        return {"reason": "real=FOLDER gives the real pictures to tell members from"}
    count = min(len(real), len(subject.members), len(subject.unguided))
    if count < FEWEST:
        return {"reason": f"needs {FEWEST} pictures of each kind, there are {count}"}
    kinds = {"members": subject.members[:count], "unguided": subject.unguided[:count], "decoded": decoded(case, count)}
    theirs, network = traces(real.pictures[:count]), case.networks[-1]
    rows = []
    for kind, set in kinds.items():
        if set is None:
            continue
        area, low, high = told(traces(set.pictures), theirs, case.options.seed)
        rows.append({"kind": kind, "area": area, "interval": [low, high]})
        if kind != "decoded":
            rows[-1] |= apart(set.features(network), real.features(network)[:count], case.options.seed)
    return {"reason": None, "count": count, "network": network.name, "rows": rows}


def decoded(case, count):
    """The real pictures through the autoencoder of the prior, as a set; None where it cannot encode."""
    prior, parts = case.prior, []
    encode = getattr(prior.decoder, "encode", None)
    if encode is None:
        return None
    with torch.no_grad():
        for x in case.real.pictures[:count].split(case.options.batch):
            z = encode(2 * x - 1)
            z = z if isinstance(z, torch.Tensor) else z.latent_dist.mode()  # diffusers' gives a distribution
            parts.append(prior.decode((z - prior.mean) / prior.std))
    return Set(case, (torch.cat(parts) * 255).round() / 255)


def traces(x):
    """What the detector sees of pictures (N, 3, H, W), (N, F): the radial power spectrum in decibels (Durall et al.
    2020), and how often differences of neighbours stand side by side (after Pevny et al. 2010)."""
    y, spectrum = grey(x.double().cpu()), decibels(radial(x.double().cpu())[1])
    found = [spectrum]
    for dim in (1, 2):
        levels = (torch.diff(y, dim=dim) / STEP).round().clamp(-REACH, REACH).long() + REACH
        size = levels.shape[dim] - 1
        pairs = (2 * REACH + 1) * levels.narrow(dim, 0, size) + levels.narrow(dim, 1, size)
        pairs = F.one_hot(pairs.flatten(1), (2 * REACH + 1) ** 2).double().mean(1)
        found.append(pairs)
    return torch.cat(found, 1)


def told(mine, theirs, seed, resamples=500):
    """The area under the curve of a logistic regression between rows (N, F) and (M, F), each scored by a fit that did
    not see it, with the 95 % bootstrap interval of those scores."""
    x, labels = torch.cat([mine, theirs]).numpy(), np.repeat([1, 0], [len(mine), len(theirs)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    scores = torch.from_numpy(cross_val_predict(model, x, labels, cv=folds, method="decision_function"))
    first, second = scores[: len(mine)], scores[len(mine) :]
    generator = torch.Generator().manual_seed(seed)
    areas = torch.tensor(
        [area_under_curve(drawn(first, generator), drawn(second, generator)) for _ in range(resamples)]
    )
    return area_under_curve(first, second), areas.quantile(0.025).item(), areas.quantile(0.975).item()


def drawn(rows, generator):
    """As many rows, with replacement."""
    return rows[torch.randint(len(rows), (len(rows),), generator=generator)]


def apart(mine, theirs, seed):
    """The kernel distance between features, and the share of random divisions that are as far apart."""
    divided = permutation.divisions(len(mine), len(theirs), ROUNDS, seed)
    found = permutation.kernel(torch.cat([mine, theirs]), divided)
    return {"kernel": found[0].item(), "kernel_p": (found >= found[0]).double().mean().item()}
