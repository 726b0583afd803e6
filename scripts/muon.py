"""Muon in float32.

That of torch multiplies in bfloat16, which on a CPU without instructions for it takes ten times as long as a step of
the network.
"""

import torch


def orthogonalize(matrix, iterations=5):
    """About U V^T, where U S V^T is the singular value decomposition, by Newton-Schulz iterations (Jordan 2024)."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal (Jordan 2024), scaled so that AdamW's learning rates suit it (Liu et al. 2025).

    Args:
        params: matrices.
        lr: learning rate.
        momentum: Nesterov momentum.
        weight_decay: decoupled, times the learning rate.
    """

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("momentum", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalize(p.grad.lerp(mean, group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * 0.2 * max(p.shape) ** 0.5)
