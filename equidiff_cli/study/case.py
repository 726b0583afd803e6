"""One run made ready to be measured: its files, the models it names, and what chance gives with the same models."""

from dataclasses import dataclass, field

import torch
from omegaconf import OmegaConf

from equidiff_cli.engine.device import exact
from equidiff_cli.metrics.error import errors, spread
from equidiff_cli.parts.filters import Gaussian
from equidiff_cli.request import build as configuration
from equidiff_cli.study.features import look
from equidiff_cli.study.members import Run
from equidiff_cli.study.null import Null


@dataclass
class Views:
    """What one network says of the query, the samples and the unguided samples.

    Args:
        classes: the names of the classes, None for a network without a classifier.
        logits, features: by "query" (1, D), "samples" (N, D) and "null" (M, D).
    """

    name: str
    classes: tuple | None
    logits: dict
    features: dict


@dataclass
class Case:
    """One run with its models.

    Args:
        prior, target: of the run.
        objective: pictures -> values (N, K).
        null: unguided samples of the prior.
        heldout: (name, network) of other networks; `heldout_reason` says why there is none.
        real: pictures (R, 3, H, W) of a folder, or None.
        options: of the evaluation: `tolerances`, `cutoffs`, `jpeg`, `likelihood`, `probes`, `steps`, `seed`, `batch`.
        null_likelihood: function that gives `log_likelihoods` of the first unguided samples.
    """

    run: Run
    prior: object
    target: object
    objective: object
    null: Null
    heldout: list
    heldout_reason: str | None
    real: torch.Tensor | None
    options: object
    null_likelihood: object
    views: list = field(init=False)

    def __post_init__(self):
        device = self.prior.device
        self.query, self.pictures = self.run.query.to(device), self.run.pictures.to(device)
        self.target_values = self.measure(self.query)[0]
        self.values, self.null_values = self.measure(self.pictures), self.measure(self.null.pictures)
        self.spread = spread(self.null_values)
        if not 0 < self.spread < float("inf"):
            raise ValueError(
                f"{self.run.path}: the objective's spread over unguided samples is {self.spread}: it has no unit"
            )
        self.drop_replaced()
        self.views = [self.view(name, network) for name, network in [(self.target.name, self.target), *self.heldout]]

    @torch.no_grad()
    def measure(self, x):
        """Values (N, K) of the objective on pictures (N, 3, H, W), on the CPU, float32."""
        with exact():
            return torch.cat([self.objective(part).float().cpu() for part in x.split(self.options.batch)])

    def errors(self, x):
        """|L(x) - L*| (N,) of pictures, in null spreads."""
        return errors(self.measure(x), self.target_values) / self.spread

    def view(self, name, network):
        """What a network says of everything."""
        shown = {"query": self.query, "samples": self.pictures, "null": self.null.pictures}
        with exact():
            seen = {what: look(network, x, self.options.batch) for what, x in shown.items()}
        try:
            classes = tuple(network.classes)
        except ValueError:
            classes = None
        logits, features = ({what: pair[i] for what, pair in seen.items()} for i in (0, 1))
        return Views(name, classes, logits, features)

    def filter_at(self, cutoff):
        """The run's kind of low-pass filter with another cutoff; a gaussian one if the run had none."""
        node = self.run.config.filter
        if "cutoff" not in node:
            return Gaussian(cutoff)
        return configuration.build(OmegaConf.create({"filter": {**node, "cutoff": cutoff}}), "filter")

    def drop_replaced(self):
        """Leave out pictures that are not those that the run measured, where only their objective can tell."""
        run = self.run
        recorded = torch.stack([_vector(record["objective_saved"]) for record in run.records])
        off = errors(self.values, recorded) > 0.02 * self.spread
        replaced = [off[i].item() and "sha256" not in record for i, record in enumerate(run.records)]
        if off.any() and not any(replaced):
            run.warnings.append(
                f"the objective of {sum(off.tolist())} unaltered pictures is not what the run recorded"
                f" (up to {(errors(self.values, recorded) / self.spread).max():.3g} null spreads off):"
                " another device or version may round differently"
            )
        if not any(replaced):
            return
        gone = [record["file"] for record, bad in zip(run.records, replaced, strict=True) if bad]
        if all(replaced):
            raise ValueError(f"{run.path}: no picture has the objective that was recorded for it: {', '.join(gone)}")
        run.missing += [{"file": file, "why": "replaced"} for file in gone]
        run.warnings.append(f"not evaluated, their objective is not the recorded one: {', '.join(gone)}")
        keep = [i for i, bad in enumerate(replaced) if not bad]
        run.records = [run.records[i] for i in keep]
        self.pictures, self.values = self.pictures[keep], self.values[keep]
        if run.latents:
            run.latents = {name: tensor[keep] for name, tensor in run.latents.items()}

    @property
    def recorded_errors(self):
        """|L(x) - L*| (N,) of the pictures before they were rounded to 8 bits, as recorded, in null spreads."""
        values = torch.stack([_vector(record["objective"]) for record in self.run.records])
        return errors(values, self.target_values) / self.spread

    @property
    def class_index(self):
        """The class whose logit the objective holds, else the target's top class of the query."""
        index = getattr(self.objective, "index", None)
        return index if isinstance(index, int) else self.views[0].logits["query"][0].argmax().item()


def _vector(values):
    return torch.tensor(values if isinstance(values, list) else [values], dtype=torch.float32)
