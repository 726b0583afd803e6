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
        lowpass: the filter F, pictures -> pictures.
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

    def residuals(self, values, filtered):
        """(N, R), whose squares sum to the loss of values (N, K) and of those of the filtered pictures.

        R = 2 K where the distance is a sum of squares and says of which, else 2: its roots.
        """
        of = getattr(self.distance, "residuals", None) or self.root
        return self.scale**0.5 * torch.cat([of(v, self.target) for v in (values, filtered)], dim=1)

    def root(self, values, target):
        """The root of a distance that does not say what it is the square of: (N, 1)."""
        return self.distance(values, target).clamp_min(1e-24).sqrt()[:, None]

    def __call__(self, x):
        """Losses of pictures (N, 3, H, W), scaled: unfiltered (N,), filtered (N,), and the values (N, K) of both."""
        values, filtered = self.objective(torch.cat([x, self.lowpass(x)])).float().chunk(2)  # one pass for both
        return (
            self.scale * self.distance(values, self.target),
            self.scale * self.distance(filtered, self.target),
            values,
            filtered,
        )
