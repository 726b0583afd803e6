"""Several questions asked of the same pictures at once, each with a weight: conjunction and difference."""

import torch


class Together:
    """The questions of all terms as one; its values are theirs side by side, its losses the weighted sums of theirs.

    Each term's losses are in units of its own null distance, so that none drowns the others; those of a distance that
    has a unit by itself stay in that, in which the threshold is.

    Args:
        questions: of `questions.py`, `reaching.py` or `raising.py`, each of an objective of its own.
        weights: one a question, above 0.
        names: what each holds, in words.
        objective: pictures (N, 3, H, W) -> the values (N, K) of all terms.
    """

    def __init__(self, questions, weights, names, objective):
        self.questions, self.weights, self.names, self.scale = questions, weights, names, 1.0
        self.objective = objective
        self.asks = "; ".join(one.asks.format_map(name) for one, name in zip(questions, names, strict=True)).replace(
            "{", "{{"
        )

    @property
    def endless(self):
        """Whether one of the terms has no end; then all steps of the budget are used."""
        return any(one.endless for one in self.questions)

    @property
    def target(self):
        return torch.cat([one.target for one in self.questions])

    @property
    def of_query(self):
        return torch.cat([one.of_query for one in self.questions])

    @property
    def wanted(self):
        return torch.cat([one.wanted for one in self.questions])

    def residuals(self, values, filtered):
        """(N, R) of all terms, whose squares sum to the loss where no term is endless."""
        sizes, views = [len(one.target) for one in self.questions], filtered.shape[1] // values.shape[1]
        filtered = filtered.split([views * size for size in sizes], 1)
        parts = zip(self.questions, self.weights, values.split(sizes, 1), filtered, strict=True)
        return torch.cat([(self.scale * weight) ** 0.5 * one.residuals(v, f) for one, weight, v, f in parts], dim=1)

    def spread(self, pictures, batch):
        """1, once every term's loss is in its own unit; 0 where one has none."""
        distances = [one.spread(pictures, batch) for one in self.questions]
        if not all(0 < distance < float("inf") for distance in distances):
            return 0.0
        for one, distance in zip(self.questions, distances, strict=True):
            own_unit = getattr(one.distance, "same", None) and not one.endless
            one.scale = 1.0 if own_unit else 1 / distance
        return 1.0

    def known(self):
        return {"terms": [{"scale": one.scale} | one.known() for one in self.questions]}

    def recall(self, known):
        for one, mine in zip(self.questions, known["terms"], strict=True):
            one.scale = mine["scale"]
            one.recall(mine)

    def remarks(self, records):
        return []

    def __call__(self, x):
        answers = [one(x) for one in self.questions]
        first, second = (
            self.scale * sum(weight * answer[row] for weight, answer in zip(self.weights, answers, strict=True))
            for row in (0, 1)
        )
        values, filtered = (torch.cat([answer[row] for answer in answers], dim=1) for row in (2, 3))
        return first, second, values, filtered
