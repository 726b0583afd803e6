"""One run made ready to be measured: its files, the models it names, and what chance gives with the same models."""

import functools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from pathlib import Path

import torch

from equidiff_cli.engine.device import exact
from equidiff_cli.metrics.error import furthest, spread
from equidiff_cli.parts.filters import Gaussian
from equidiff_cli.pictures import perturb
from equidiff_cli.pictures.read import NOTHING
from equidiff_cli.prior.prior import Prior
from equidiff_cli.request.asking import composed_terms
from equidiff_cli.request.groups import kind, plain
from equidiff_cli.request.schema import EvaluateConfig
from equidiff_cli.study.law import law_of
from equidiff_cli.study.members import Members
from equidiff_cli.study.null import Null, null_seeds
from equidiff_cli.study.sets import Network, Set
from equidiff_cli.target.target import Target

ROUNDING = 0.2  # null spreads that the objective of a saved picture may be off on another device, or in another version
RELATIVE = 1e-4  # of its value, besides
SAME = 0.5 / 255  # root mean square difference of pixels below which a real picture is the query itself


@dataclass
class Case:
    """One run with its models. Its sets are `query`, `samples`, `unguided`, `real`, and `chains`, the states that
    Markov chains kept; the last two are None without any.

    Args:
        prior, target: of the run.
        objective: pictures (N, 3, H, W) -> values (N, K).
        lowpass: the filter of the run, pictures -> pictures.
        null: unguided samples of the prior.
        heldout: (name, network) of other networks; `heldout_reason` says why there is none.
        real, real_files: pictures (R, 3, H, W) of a folder, or None, and their files.
        options: of the evaluation.
        pool: gives `Null` of so many unguided samples, for the law of the set.
        null_likelihood: gives `log_likelihoods` of the first `options.likelihood` unguided samples.
    """

    run: Members
    prior: Prior
    target: Target
    objective: Callable[[torch.Tensor], torch.Tensor]
    lowpass: Callable[[torch.Tensor], torch.Tensor]
    null: InitVar[Null]
    heldout: InitVar[list[tuple[str, Target]]]
    heldout_reason: str | None
    real: InitVar[torch.Tensor | None]
    options: EvaluateConfig
    null_likelihood: Callable[[], tuple[torch.Tensor, torch.Tensor]]
    pool: Callable[[int], Null] | None = None
    real_files: Sequence[Path] = ()

    def __post_init__(self, null, heldout, real):
        self.keep_what_was_asked_for()
        run, device, case = self.run, self.prior.device, weakref.proxy(self)  # no circle: a prior is freed at once
        before = self.recorded("objective")
        self.query = Set(case, run.query.to(device))
        seeds = [record.get("seed") for record in run.records]
        self.samples = Set(case, run.pictures.to(device), run.latents, before, run.nonfinite, run.evaluations, seeds)
        drawn = len(null.pictures) * self.prior.evaluations
        latents = {"z_start": null.z_start, "z": null.z}
        self.unguided = Set(case, null.pictures, latents, evaluations=drawn, seeds=null_seeds(len(null.pictures)))
        self.real = None if real is None else Set(case, real)
        self.chains = None if run.kept is None else Set(case, run.kept.pictures.to(device))
        self.target_values, self.spread = self.wanted(), spread(self.unguided.values)
        owners = self.owners()
        parts = [(owners == term).nonzero().flatten() for term in owners.unique()]
        self.units = [(columns, spread(self.unguided.values[:, columns])) for columns in parts]
        for _, unit in self.units:
            if not 0 < unit < float("inf"):
                raise ValueError(f"{run.path}: the objective's spread over unguided samples is {unit}: it has no unit")
        others = [_network(name, f"the held-out {name}", name, network) for name, network in heldout]
        self.networks = [_network("target", "the target", self.target.name, self.target), *others]
        self.compare_with_the_record()

    @functools.cached_property
    def beside(self):
        """Two ways to keep a value without any search, as many pictures of each as there are samples: the real ones
        whose value is nearest to what was asked for, the query itself left out, and augmentations of the query. None
        without real pictures."""
        if self.real is None:
            return {}
        count, query, case = len(self.samples), self.query.pictures, weakref.proxy(self)
        others = self.real.pictures[(self.real.pictures - query).square().mean((1, 2, 3)).sqrt() >= SAME]
        order = self.errors(others).argsort(stable=True)[:count]
        augmented = perturb.augmented(query, count, self.options.seed)
        return {"real": Set(case, others[order.to(others.device)]), "augmented": Set(case, augmented)}

    @property
    def no_query(self):
        """Why nothing is said of the query, or None: the picture that stands for none is plain grey."""
        return "there was no query" if self.run.summary.get("query") == NOTHING else None

    @property
    def no_value(self):
        """Why no sample can be right or wrong, or None: of nothing that was asked is there a value to reach."""
        none = self.asked.get("endless") and self.columns is None
        return "nothing was to be reached: the values were raised or lowered without end" if none else None

    def keep_what_was_asked_for(self):
        """Take the values that had a target for the objective, as the others were raised or lowered without end."""
        records, question = self.run.records, self.run.summary.get("question") or {}
        self.columns, self.asked = None, question
        values = records[0].get("target") if question else None
        if isinstance(values, list) and None in values and any(value is not None for value in values):
            self.columns = [i for i, value in enumerate(values) if value is not None]

    def recorded(self, key):
        """What the run recorded of the values that had a target, (N, K)."""
        values = _values(self.run.records, key)
        return values if self.columns is None else values[:, self.columns]

    def wanted(self):
        """The values (K,) that samples are compared with: the query's, or what was asked for in its place.

        Where all was raised or lowered, it is the mean of unguided samples, from which heights count.
        """
        ours = self.query.values[0]  # measured here, where rounding is that of the samples
        if not self.asked:
            return ours
        asked = self.recorded("target")[0]
        if asked.isnan().all():
            return self.unguided.values.mean(0)
        near = RELATIVE * ours.norm() + ROUNDING * spread(self.unguided.values)
        held = ours if (ours - asked).norm() <= near else asked
        return torch.where(self.reached(), asked, held)

    def reached(self):
        """Which of the values (K,) were to reach a number of their own, however near it is to the query's."""
        config = self.run.config
        several = kind(config.objective) == "All"
        terms = composed_terms(plain(config.objective.terms)) if several else [(None, None, config.question, 1.0)]
        return torch.tensor([kind(question) == "Reach" for _, _, question, _ in terms])[self.owners()]

    @torch.no_grad()
    def measure(self, x):
        """Values (N, K) of the objective on pictures (N, 3, H, W), on the CPU, float32."""
        with exact():
            values = torch.cat([self.objective(part).float().cpu() for part in x.split(self.options.batch)])
        return values if self.columns is None else values[:, self.columns]

    @torch.no_grad()
    def owners(self):
        """The number of the term (K,) that each value belongs to: 0, unless the objective is of several."""
        if not self.asked.get("terms"):
            return torch.zeros(self.query.values.shape[1], dtype=torch.long)
        sizes = torch.tensor([term.objective(self.query.pictures).shape[1] for term in self.objective.terms])
        owners = torch.arange(len(sizes)).repeat_interleave(sizes)
        return owners if self.columns is None else owners[self.columns]

    def off(self, values, wanted=None):
        """How far values (N, K) are from what was asked for, or from `wanted` (K,), as (N,) in null spreads; of several
        terms the one that is furthest, each in its own."""
        return furthest(values, self.target_values if wanted is None else wanted, self.units)

    def errors(self, x):
        """|L(x) - L*| (N,) of pictures that are in no set, in null spreads."""
        return self.off(self.measure(x))

    def filter_at(self, cutoff):
        """The run's kind of low-pass filter with another cutoff; a gaussian one if that knows no other cutoff."""
        return getattr(self.lowpass, "at", Gaussian)(cutoff)

    @functools.cached_property
    def law(self):
        """What stands for the law of the invariant set itself, a `Law`."""
        return law_of(weakref.proxy(self))

    @property
    def half(self):
        """As many unguided samples as there are samples, at most half of them: the rest is what both are compared with,
        since distances of sets depend on their sizes."""
        return min(len(self.samples), len(self.unguided) // 2)

    @property
    def reference(self):
        """The unguided samples that others, and samples, are compared with."""
        return self.unguided[self.half :]

    @property
    def class_index(self):
        """The class whose logit the objective holds, else the target's top class of the query."""
        index = getattr(self.objective, "index", None)
        return index if isinstance(index, int) else self.query.logits(self.networks[0])[0].argmax().item()

    def compare_with_the_record(self):
        """Add a warning to the run if the objective is not what the run recorded for the saved pictures; `ValueError`
        if it is off by more than rounding can be, `ROUNDING` null spreads and `RELATIVE` of the value.
        """
        found, before = self.samples.values, self.recorded("objective_saved")
        off = furthest(found - before, torch.zeros_like(found[0]), self.units)
        beyond = off - ROUNDING - RELATIVE * before.norm(dim=1) / self.spread
        if (beyond > 0).any():
            row = beyond.argmax()
            column = (found[row] - before[row]).abs().argmax()
            raise ValueError(
                f"{self.run.path}: the objective of {self.run.records[row]['file']} is {found[row, column]:.6g}, but"
                f" the run recorded {before[row, column]:.6g}, {off[row]:.3g} null spreads off: too much for"
                " rounding, the target or the objective is another one"
            )
        if count := (off > 0.02).sum().item():
            self.run.warnings.append(
                f"the objective of {count} unaltered pictures is not what the run recorded"
                f" (up to {off.max():.3g} null spreads off): another device or version may round differently"
            )


def _network(key, which, name, target):
    try:
        classes = tuple(target.classes)
    except ValueError:
        classes = None
    return Network(key, name, which, classes, target)


def _values(records, key):
    """What the run recorded, (N, K), NaN where that was no number."""
    rows = [record[key] if isinstance(record[key], list) else [record[key]] for record in records]
    return torch.tensor([[torch.nan if value is None else value for value in row] for row in rows], dtype=torch.float32)
