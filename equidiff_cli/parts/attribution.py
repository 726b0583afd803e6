"""Where in a picture a value comes from: gradient times input, the plainest of attributions."""

import torch

BLUR = 32  # the attribution is blurred over this part of the picture's side, to give regions and not grains


def attributed(objective, query, share):
    """The mask (1, 1, H, W) of the share of pixels of the query (1, 3, H, W) to which the objective owes most.

    That is |x * dL/dx| (Shrikumar et al. 2017, arXiv:1704.02685, as they call gradient * input), summed over channels
    and values and averaged over a neighbourhood.
    """
    with torch.enable_grad():
        x = query.detach().clone().requires_grad_()
        rows = objective(x).float()[0]
        owed = sum(torch.autograd.grad(value, x, retain_graph=True)[0].mul(query).abs().sum(1) for value in rows)
    side = 2 * max(query.shape[-1] // BLUR, 1) + 1
    owed = torch.nn.functional.avg_pool2d(owed[None], side, stride=1, padding=side // 2, count_include_pad=False)
    count = min(max(round(share * owed.numel()), 1), owed.numel() - 1)
    mask = torch.zeros_like(owed).flatten()
    mask[owed.flatten().topk(count).indices] = 1
    return mask.view_as(owed)
