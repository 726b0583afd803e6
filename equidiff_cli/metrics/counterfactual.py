"""How good a counterfactual is: whether the change goes to where the decision is made."""

import torch


@torch.no_grad()
def cout(probabilities, before, after, index, wanted, steps=16):
    """COUT in [-1, 1] of pictures `after` (N, 3, H, W) for the query `before` (1, 3, H, W), (N,).

    Pixels of the counterfactual replace those of the query, those that changed most first, in `steps` equal parts. COUT
    is the area under the probability of the wanted class along the way, minus that under the query's class (Khorram &
    Fuxin 2022, arXiv:2203.15064): near 1, if few pixels turn the decision.

    Args:
        probabilities: pictures (M, 3, H, W) -> (M, classes).
        index, wanted: the query's class and the wanted one.
    """
    found = []
    for picture in after:
        change = (picture - before[0]).abs().sum(0).flatten()  # (H W,)
        rank = change.argsort(descending=True).argsort()
        parts = torch.linspace(0, len(change), steps + 1, device=change.device)[:, None]
        mask = (rank[None] < parts).view(steps + 1, 1, *picture.shape[1:])  # none, ..., all
        curves = probabilities(torch.where(mask, picture[None], before))[:, [wanted, index]].float()
        areas = (curves[1:] + curves[:-1]).mean(0) / 2
        found.append(areas[0] - areas[1])
    return torch.stack(found)
