"""Guidance inside one pass: at each step of the solver the velocity gains the gradient of the loss of the picture that
is predicted there.

Classifier guidance (Dhariwal & Nichol 2021, arXiv:2105.05233) at the predicted clean picture, as in diffusion posterior
sampling (Chung et al. 2023, arXiv:2209.14687) and, for flows, FlowDPS (Kim et al. 2025, arXiv:2503.08136).
"""

import torch

from equidiff_cli.methods.onepass import OnePass
from equidiff_cli.parts.accepted import accepted


class Guidance(OnePass):
    """v'(z, t) = v(z, t) - scale w(t) d loss(D(z + (1 - t) v(z, t))) / dz.

    Args:
        threshold: as of `OnePass`.
        scale: above 0.
        schedule: w(t): "flat", 1; or "bayes", (1 - t) / t, with which it is the velocity of the conditional flow where
            the loss is a negative log-likelihood, as the score is (t v - z) / (1 - t); there t is at least the end of
            the first step.
        normalize: whether the gradient is that of the root of the loss, as in Chung et al., algorithm 1; for what is
            raised or lowered, which has none, the gradient stays as it is.
        through: whether the gradient goes through the network, as in Chung et al.; else the velocity is taken as fixed,
            as in FlowDPS: cheaper.
    """

    name, settings = "guidance", "another method.scale"

    def __init__(self, threshold, *, scale, schedule, normalize, through):
        super().__init__(threshold)
        self.scale, self.schedule = accepted("method.scale", scale), accepted("method.schedule", schedule)
        self.normalize = accepted("method.normalize", normalize)
        self.through = accepted("method.through", through)

    def weight(self, one, i):
        """scale w(t_i)."""
        t = one.time(i)
        return self.scale * (1.0 if self.schedule == "flat" else (1 - t) / max(t, one.time(1)))

    def steered(self, one):
        """The guided velocity of a `Pass`."""
        rooted = self.normalize and not getattr(one.question, "endless", False)

        def velocity(z, i):
            with torch.enable_grad():
                z = z.detach().requires_grad_()
                v = one.velocity(z, i) if self.through else one.velocity(z.detach(), i).detach()
                loss, penalty = one.ask(one.clean(z, i, v))
                loss = loss.clamp_min(1e-12).sqrt() if rooted else loss
                (gradient,) = torch.autograd.grad((loss if penalty is None else loss + penalty).sum(), z)
            return v.detach() - self.weight(one, i) * gradient

        return velocity
