"""Questions without an end: what would raise, or lower, a value as far as the budget goes.

This is activation maximisation inside a prior (Erhan et al. 2009; Nguyen et al. 2016, arXiv:1605.09304). Nothing of it
is ever reached, so no sample converges; what keeps the pictures ordinary is what the optimiser keeps of the noise.
"""

import torch

from equidiff_cli.parts.accepted import accepted
from equidiff_cli.parts.questions import Invariance


class Raise(Invariance):
    """Which pictures have the highest value? The loss is the negative height of picture and filtered picture,

        h(x) = sum_k (L_k(x) - m_k) / null spread,    m the mean over unguided samples.

    It is no sum of squares. A second-order optimiser gets residuals that ask for `stride` more at every step:
    `h(x) - h(x).detach() - stride`, so that its step is the shortest that raises h by so much, to first order.

    Args:
        stride: null spreads, above 0.
    """

    asks = "raising the {objective} in {target} as far as the budget goes"
    endless, sign = True, 1.0

    def __init__(self, objective, distance, lowpass, query, stride):
        super().__init__(objective, distance, lowpass, query)
        self.stride = accepted("question.stride", stride)
        self.middle = torch.zeros_like(self.of_query)

    @property
    def wanted(self):
        return torch.full_like(self.target, torch.nan)

    def height(self, values):
        """h (N,), in null spreads, of values (N, K), or the mean of V views, (N, V K); of `Lower`, how far below."""
        views = values.view(len(values), -1, len(self.middle))  # (N, V, K)
        return self.sign * self.scale**0.5 * (views - self.middle).sum(2).mean(1)

    def residuals(self, values, filtered):
        """(N, 2): what lacks to `stride` more, of the picture and of the filtered one."""
        rise = torch.stack([self.height(values), self.height(filtered)], dim=1)
        return rise - rise.detach() - self.stride

    def spread(self, pictures, batch):
        """The variance of the values on `pictures` (M, 3, H, W), summed over K, whatever the distance."""
        values = self.values(pictures, batch)
        self.middle = values.mean(0)
        return (values - self.middle).square().sum(1).mean().item()

    def known(self):
        return {"middle": self.middle.tolist()}

    def recall(self, known):
        self.middle = self.of_query.new_tensor(known["middle"])

    def __call__(self, x):
        values, filtered = self.both(x)
        return -self.height(values), -self.height(filtered), values, filtered


class Lower(Raise):
    """Which pictures have the lowest value?"""

    asks = "lowering the {objective} in {target} as far as the budget goes"
    sign = -1.0
