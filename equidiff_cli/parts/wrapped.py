"""What is asked besides the question: that pictures differ in a region alone, and that they differ from each other.

Both wrap a question and add a column to what it returns, residuals (N, P) whose squares are a penalty: it counts in
gradients, but not in the loss that is compared with the threshold.
"""

import torch


class Wrapped:
    """A question with something besides; in all else the question itself.

    Args:
        question: of `questions.py` or its neighbours.
    """

    def __init__(self, question):
        self.question = question

    def __getattr__(self, name):
        if name == "question":  # not there yet, as while it is unpickled
            raise AttributeError(name)
        return getattr(self.question, name)

    @property
    def scale(self):
        return self.question.scale

    @scale.setter
    def scale(self, value):
        self.question.scale = value


class Within(Wrapped):
    """Only in a region may pictures differ from the query: elsewhere they are the query's own, and what the prior makes
    there is kept near it, so that both fit together.

    Args:
        mask: (1, 1, H, W), 1 where pictures may differ, 0 elsewhere, neither everywhere.
        query: (1, 3, H, W) in [0, 1].
        weight: of the root mean square of the difference elsewhere.
    """

    def __init__(self, question, mask, query, weight=1.0):
        super().__init__(question)
        self.mask, self.query, self.weight = mask, query, weight

    def shown(self, x):
        """The pictures (N, 3, H, W) to measure and save, of those that the prior makes."""
        return self.mask * x + (1 - self.mask) * self.query

    def __call__(self, x):
        outside = (1 - self.mask) * (x - self.query)
        square = outside.square().sum((1, 2, 3)) / (x.shape[1] * (1 - self.mask).sum())
        return *self.question(self.shown(x)), self.weight * square.clamp_min(1e-12).sqrt()[:, None]


class Evidence:
    """An objective that sees a region alone: elsewhere every picture has the query's mean colour.

    Args:
        objective: pictures (N, 3, H, W) -> values (N, K).
        mask: (1, 1, H, W), 1 in the region, 0 elsewhere.
        query: (1, 3, H, W) in [0, 1].
    """

    def __init__(self, objective, mask, query):
        self.objective, self.mask, self.colour = objective, mask, query.mean((2, 3), keepdim=True)
        held = getattr(objective, "description", None)
        self.description = f"{held or 'values'} by the region alone"

    def __getattr__(self, name):
        if name == "objective":
            raise AttributeError(name)
        return getattr(self.objective, name)

    def __call__(self, x):
        return self.objective(self.seen(x))

    def seen(self, x):
        """Pictures (N, 3, H, W) without what lies outside of the region."""
        return self.mask * x + (1 - self.mask) * self.colour


class OfEvidence:
    """A filter, or other views, of what `Evidence` sees: nothing from outside of the region is blurred into it.

    Args:
        lowpass: pictures (N, 3, H, W) -> pictures (V N, 3, H, W).
        evidence: `Evidence`.
    """

    def __init__(self, lowpass, evidence):
        self.lowpass, self.evidence = lowpass, evidence

    def __getattr__(self, name):
        if name == "lowpass":
            raise AttributeError(name)
        return getattr(self.lowpass, name)

    def __call__(self, x):
        return self.lowpass(self.evidence.seen(x))


class Apart(Wrapped):
    """Members of a batch repel each other: they are no longer independent.

    The penalty of sample i is the mean similarity to the others, exp(-|f_i - f_j|^2 / h), a Gaussian kernel as in
    particle guidance (Corso et al. 2024, arXiv:2310.13102), with the mean squared distance of unguided samples as h.

    Args:
        features: pictures (N, 3, H, W) in [0, 1] -> (N, D).
        weight: of the root of the penalty.
    """

    def __init__(self, question, features, weight):
        super().__init__(question)
        self.features, self.weight, self.width = features, weight, 1.0

    @torch.no_grad()
    def spread(self, pictures, batch):
        found = torch.cat([self.features(part) for part in pictures.split(batch)])
        count = len(found)
        self.width = max((torch.cdist(found, found).square().sum() / (count * (count - 1))).item(), 1e-12)
        return self.question.spread(pictures, batch)

    def known(self):
        return self.question.known() | {"width": self.width}

    def recall(self, known):
        self.width = known["width"]
        self.question.recall(known)

    def __call__(self, x):
        answer = self.question(x)
        shown = getattr(self.question, "shown", lambda x: x)
        if len(x) < 2:
            return *answer, 0 * answer[0][:, None]
        f = self.features(shown(x))
        squares = (f[:, None] - f[None].detach()).square().sum(2)  # each moves itself: a row's gradient is its own
        similar = (-squares / self.width).exp() * (1 - torch.eye(len(f), dtype=f.dtype, device=f.device))
        penalty = similar.sum(1, keepdim=True) / (len(f) - 1)
        return *answer, self.weight * penalty.clamp_min(1e-12).sqrt()
