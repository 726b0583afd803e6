"""Are the samples different pictures, or one picture again and again?"""

import torch

from equidiff_cli.evaluation.perceptual import lpips_missing, lpips_pairs
from equidiff_cli.metrics.diversity import cosine_distances, gaussian_similarity, pairs, rms_distances, vendi_score
from equidiff_cli.study.findings import Section

GROUPS = 8  # of unguided samples, each as many as there are samples


def diversity(case):
    """The section `diversity` of a case."""
    section = Section("diversity", len(case.pictures))
    pixels = {"query": case.query.cpu(), "samples": case.pictures.cpu(), "null": case.null.pictures.cpu()}
    scale = pairs(rms_distances(pixels["null"], pixels["null"])).mean().item()
    space(section, "pixels", "pixels", pixels, rms_distances, "of the range of a pixel", "root mean square difference")
    vendi(section, "pixels", "pixels", pixels, lambda a: gaussian_similarity(rms_distances(a, a), scale))
    for i, view in enumerate(case.views):
        what = "features of the target" if i == 0 else f"features of the held-out {view.name}"
        key = "target" if i == 0 else view.name
        space(section, key, what, view.features, cosine_distances, "1 - cosine", "input of the last linear layer")
        vendi(section, key, what, view.features, lambda a: 1 - cosine_distances(a, a))
    if case.heldout_reason:
        section.metric(
            "distance_heldout",
            "mean distance of pairs, features of a held-out network",
            lambda: None,
            unit="1 - cosine",
            reason=case.heldout_reason,
            source="input of the last linear layer",
            about="Distances that a network measures which the samples were not optimised on.",
        )
    section.metric(
        "distance_lpips",
        "mean LPIPS distance of pairs",
        lambda: lpips_pairs(case.pictures).mean().item(),
        unit="LPIPS",
        null=lambda: lpips_pairs(case.null.pictures[: len(case.pictures)]).mean().item(),
        needs=2,
        reason=lpips_missing(),
        better="higher",
        source="LPIPS with AlexNet (Zhang et al. 2018), as in torchmetrics",
        about="A distance fitted to what people call similar.",
    )
    section.column(
        "query_distance",
        "distance to the query",
        rms_distances(pixels["samples"], pixels["query"])[:, 0].tolist(),
        unit="of the range of a pixel",
        about="root mean square difference of pixels",
    )
    return section


def space(section, key, what, x, distances, unit, source):
    """Distances in one space among samples, to the nearest other sample, and to the query."""
    mine = distances(x["samples"], x["samples"])
    count = len(mine)
    groups = [distances(part, part) for part in groups_of(x["null"], count)]
    more = dict(unit=unit, source=source, better=None)
    section.metric(
        f"distance_{key}",
        f"mean distance of pairs, {what}",
        lambda: pairs(mine).mean().item(),
        null=lambda: torch.stack([pairs(group).mean() for group in groups]).mean().item(),
        needs=2,
        about="As large as for unguided samples: holding the objective costs no variety. Near 0: all the same.",
        **more | {"better": "higher"},
    )
    section.metric(
        f"nearest_{key}",
        f"smallest distance of a pair, {what}",
        lambda: pairs(mine).min().item(),
        null=lambda: torch.stack([pairs(group).min() for group in groups]).mean().item(),
        needs=2,
        about="Near 0: at least two samples are the same picture, which a mean hides.",
        **more | {"better": "higher"},
    )
    section.metric(
        f"query_{key}",
        f"mean distance to the query, {what}",
        lambda: distances(x["samples"], x["query"]).mean().item(),
        null=lambda: distances(x["null"], x["query"]).mean().item(),
        about="As large as for unguided samples: they do not copy the query. Smaller: they have come to look like it.",
        **more,
    )


def vendi(section, key, what, x, similarity):
    """The Vendi score in one space."""
    section.metric(
        f"vendi_{key}",
        f"effective number of different samples, {what}",
        lambda: vendi_score(similarity(x["samples"])),
        unit="samples",
        null=lambda: (
            mean_of(vendi_score(similarity(part)) for part in groups_of(x["null"], len(x["samples"])))
            if len(x["samples"]) <= len(x["null"])
            else None
        ),
        null_reason="needs as many unguided samples (null_samples)",
        needs=4,
        better="higher",
        source="Vendi score (Friedman & Dieng 2023), "
        + ("gaussian kernel as wide as the mean distance of unguided pairs" if key == "pixels" else "cosine kernel"),
        about="1: all the same; at most the number of samples, on which it depends: compare with unguided.",
    )


def groups_of(x, count):
    """Up to `GROUPS` groups of `count` unguided samples, apart from each other; one of all if there are fewer."""
    groups = [part for part in x.split(count) if len(part) == count][:GROUPS]
    return groups or [x]


def mean_of(values):
    values = list(values)
    return sum(values) / len(values)
