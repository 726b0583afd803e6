"""Questions that ask for other values than the query's: a given one, or another decision."""

import torch

from equidiff_cli.parts.accepted import accepted
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.target.target import top_class

WAYS = ("value", "change", "percentile")


class Reach(Invariance):
    """Which pictures have a value that is named, instead of the query's? One of the three names it:

    Args:
        value: a number, or K of them.
        change: so many null spreads, the standard deviation over unguided samples, from the query's value.
        percentile: in [0, 100], of the values of unguided samples.
    """

    def __init__(self, objective, distance, lowpass, query, value, change, percentile):
        super().__init__(objective, distance, lowpass, query)
        self.change, self.percentile, self.range = change, percentile, None
        one_way(value, change, percentile)
        count = len(self.of_query)
        if value is not None:
            values = accepted("question.value", value)
            if len(values) != count:
                raise ValueError(f"question.value={value}: the objective gives {count} values, name as many")
            self.target = self.of_query.new_tensor(values)
            self.asks = f"reaching {said(values)} for the {{objective}} in {{target}}"
        elif change is not None:
            by = f"{abs(accepted('question.change', change)):g} null spreads {'above' if change > 0 else 'below'}"
            self.asks = f"reaching {by} the query's value for the {{objective}} in {{target}}"
        else:
            place = f"percentile {accepted('question.percentile', percentile):g} of unguided samples"
            self.asks = f"reaching {place} for the {{objective}} in {{target}}"

    def spread(self, pictures, batch):
        """As of `Invariance`; unguided samples tell what the target is, too, and what is usual."""
        values = self.values(pictures, batch)
        if self.change is not None:
            self.target = self.of_query + self.change * values.std(0, unbiased=False)
        elif self.percentile is not None:
            self.target = values.quantile(self.percentile / 100, dim=0)
        self.range = values.amin(0).tolist(), values.amax(0).tolist(), len(values)
        return self.distance(values, values.mean(0)).mean().item()

    def known(self):
        return {"reached for": self.target.tolist(), "range": self.range}

    def recall(self, known):
        self.target, self.range = self.of_query.new_tensor(known["reached for"]), known["range"]

    def remarks(self, records):
        """Where no sample came there: the nearest, and what unguided samples have."""
        tried = [record for record in records if record["loss"] is not None]
        if not tried or any(record["status"] == "converged" for record in records):
            return []
        nearest = said(min(tried, key=lambda record: record["loss"])["objective"])
        low, high, count = self.range
        usual = f"from {said(low)} to {said(high)}"
        return [
            f"no sample reached {said(self.target.tolist())}: the nearest has {nearest}, {count} unguided samples have"
            f" {usual}; the prior may have no such picture, ask for a value nearer to those"
        ]


class Decision:
    """The logit of one class minus the largest of all others, K = 1: above 0 where that class is the decision."""

    def __init__(self, target, index):
        self.target, self.index = target, index
        self.description = f"margin of {target.classes[index]} over the best other class"

    def __call__(self, x):
        logits = self.target(x)
        others = torch.arange(logits.shape[1], device=logits.device) != self.index
        return (logits[:, self.index] - logits[:, others].amax(1))[:, None]


class Counterfactual(Invariance):
    """Which picture near the query would be decided otherwise: the margin of a wanted class over the best other one.

    For the query that is the margin over its top class, below 0; above 0 the wanted class is the decision.

    Args:
        objective: that margin, of `margin` below.
        label: the wanted class, for the words alone.
        margin: what the margin is turned to, above 0, in logits.
        stay: weight of the root mean square of the change of pixels in the loss; 0: short steps alone keep near.
    """

    asks = "turning the decision: the {objective} in {target}"
    near = 0.0  # samples start at the query's own noise, unless they are told otherwise

    def __init__(self, objective, distance, lowpass, query, label, margin, stay):
        super().__init__(objective, distance, lowpass, query)
        self.query, self.stay = query, accepted("question.stay", stay)
        self.target = self.of_query.new_tensor([accepted("question.margin", margin)])
        self.asks = f"{self.asks} from {self.of_query.item():.3g} to {margin:g}"

    @staticmethod
    def margin(target, query, label, margin, stay):
        """The objective: the `Decision` for class `label`, or for the query's second class."""
        top = top_class(target, query)
        wanted = runner_up(target, query, top) if label is None else target.class_index("question.label", label)
        if wanted == top:
            raise ValueError(
                f"question.label={label}: is what {target.name} sees in the query already; name another class"
            )
        return Decision(target, wanted)

    def __call__(self, x):
        losses = super().__call__(x)
        if not self.stay:
            return losses
        change = (x - self.query).square().flatten(1).mean(1, keepdim=True)
        return *losses, self.stay * change.clamp_min(1e-12).sqrt()

    def remarks(self, records):
        if any(record["status"] == "converged" for record in records):
            return []
        best = max((record["objective"] for record in records if record["objective"] is not None), default=None)
        return [f"no sample has the other decision at a margin of {self.target.item():g}; the nearest has {said(best)}"]


@torch.no_grad()
def runner_up(target, query, top):
    """The index of the class that comes second in the query (1, 3, H, W)."""
    if len(target.classes) < 2:
        raise ValueError(f"question=counterfactual: {target.name} has no other class")
    return next(i for i in target(query)[0].argsort(descending=True).tolist() if i != top)


def one_way(value, change, percentile):
    """`ValueError` unless exactly one of the three is given."""
    given = [name for name, it in zip(WAYS, (value, change, percentile), strict=True) if it is not None]
    if len(given) != 1:
        found = f"question.{given[0]} and question.{given[1]}" if given else "question=reach"
        raise ValueError(f"{found}: give one of {', '.join(f'question.{name}' for name in WAYS)}")


def said(values):
    """A number, or several, in four digits."""
    if isinstance(values, (list, tuple)):
        return said(values[0]) if len(values) == 1 else f"[{', '.join(map(said, values))}]"
    return "no finite number" if values is None else f"{values:.4g}"
