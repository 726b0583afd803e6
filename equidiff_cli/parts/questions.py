"""Lines 9-11 of the algorithm: what is asked of a picture, as a loss.

Here is the question of the invariant set; those in `reaching.py` and `raising.py` ask for other values.
"""

import torch


class Invariance:
    """Lines 9-11: how far pictures are from the invariant set of the query.

    `target` (K,) is what the values are to be, `of_query` (K,) what they are for the query.

    Args:
        objective: pictures (N, 3, H, W) in [0, 1] -> values (N, K).
        distance: values (N, K) and target values (K,) -> (N,), non-negative.
        lowpass: the filter F, pictures (N, 3, H, W) -> pictures (V N, 3, H, W): where V > 1, several filters and other
            views of a picture, all pictures in the first view first. The second loss is their mean.
        query: the query (1, 3, H, W) in [0, 1]; its values are the target (line 2).
    """

    asks = "holding the {objective} in {target} at the query's value"
    endless = False  # whether there is no loss at which a sample has what was asked for

    def __init__(self, objective, distance, lowpass, query):
        if not callable(objective):
            raise ValueError(f"objective: must be a function of pictures, is {type(objective).__name__}")
        self.objective, self.distance, self.lowpass = objective, distance, lowpass
        self.scale = 1.0
        with torch.no_grad():
            values = objective(query)
        if not isinstance(values, torch.Tensor) or values.ndim != 2 or len(values) != len(query):
            raise ValueError(f"objective: must give values (N, K), gave {getattr(values, 'shape', type(values))}")
        with torch.enable_grad():
            if not objective(query.detach().requires_grad_().clone()).requires_grad:
                raise ValueError(
                    "objective: its values cannot be differentiated; no argmax, detach or no_grad in it or the target"
                )
        self.target = self.of_query = values[0].float()

    @property
    def wanted(self):
        """The values (K,) to record as those asked for, NaN where none is."""
        return self.target

    def known(self):
        """What unguided samples told, as JSON takes it, for a run that goes on: `recall` takes it up."""
        return {}

    def recall(self, known):
        """Take up what `known` gave."""

    def remarks(self, records):
        """What to say of the records of all samples when a run ends, a list of lines."""
        return []

    @torch.no_grad()
    def values(self, pictures, batch):
        """Values (M, K), float32, of pictures (M, 3, H, W), `batch` of them at once."""
        return torch.cat([self.objective(part) for part in pictures.split(batch)]).float()

    @torch.no_grad()
    def spread(self, pictures, batch):
        """The mean distance of the objective on `pictures` (M, 3, H, W) to its own mean; for squared l2, the variance.

        On unguided samples this is what chance gives, the *null distance*: the unit in which losses are comparable
        between objectives.
        """
        values = self.values(pictures, batch)
        return self.distance(values, values.mean(0)).mean().item()

    def both(self, x):
        """Values of pictures (N, 3, H, W), (N, K), and of their V views, (N, V K), in one pass."""
        values, filtered = self.objective(torch.cat([x, self.lowpass(x)])).float().tensor_split([len(x)])
        return values, filtered.view(-1, *values.shape).transpose(0, 1).flatten(1)  # (V N, K) -> (N, V K)

    def residuals(self, values, filtered):
        """(N, R), whose squares sum to the loss of values (N, K) and of those of the filtered pictures, (N, V K).

        With one filter R = 2 K where the distance is a sum of squares and says of which, else 2: its roots. Several
        views share one residual, the root of their loss: they ask for much the same, and each would cost a backward
        pass.
        """
        of = getattr(self.distance, "residuals", None) or self.root
        of_views = of if filtered.shape == values.shape else self.root_of_views
        return self.scale**0.5 * torch.cat([of(values, self.target), of_views(filtered, self.target)], dim=1)

    def root_of_views(self, filtered, target):
        """The root of the mean distance of values (N, V K): (N, 1)."""
        return self.over_views(filtered, target).clamp_min(1e-24).sqrt()[:, None]

    def over_views(self, filtered, target):
        """The mean distance of values (N, V K) in V views: (N,)."""
        views = filtered.view(len(filtered), -1, len(target))  # (N, V, K)
        return self.distance(views.flatten(0, 1), target).view(views.shape[:2]).mean(1)

    def root(self, values, target):
        """The root of a distance that does not say what it is the square of: (N, 1)."""
        return self.distance(values, target).clamp_min(1e-24).sqrt()[:, None]

    def __call__(self, x):
        """Losses of pictures (N, 3, H, W), scaled: unfiltered (N,), filtered (N,), and the values of both, (N, K) and
        (N, V K)."""
        values, filtered = self.both(x)
        return (
            self.scale * self.distance(values, self.target),
            self.scale * self.over_views(filtered, self.target),
            values,
            filtered,
        )
