"""Muon in float32.

That of torch multiplies in bfloat16, which on a CPU without instructions for it takes ten times as long as a step of
the network.
"""

import torch


def orthogonalize(matrices, iterations=5):
    """About U V^T of each of matrices (..., M, N), where U S V^T is its singular value decomposition, by Newton-Schulz
    iterations (Jordan 2024)."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal (Jordan 2024), scaled so that AdamW's learning rates suit it (Liu et al. 2025).

    Args:
        params: matrices; those of one shape are made orthogonal together.
        lr: learning rate.
        momentum: Nesterov momentum.
        weight_decay: decoupled, times the learning rate.
    """

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01):
        alike = {}
        for p in params:
            alike.setdefault(p.shape, []).append(p)
        groups = [{"params": matrices} for matrices in alike.values()]
        super().__init__(groups, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            directions = []
            for p in group["params"]:
                mean = self.state[p].setdefault("momentum", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                directions.append(p.grad.lerp(mean, group["momentum"]))
            for p, update in zip(group["params"], orthogonalize(torch.stack(directions)), strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * 0.2 * max(p.shape) ** 0.5)
