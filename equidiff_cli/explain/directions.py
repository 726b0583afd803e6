"""Directions of concepts in a layer (CAVs) and how often a value grows along them (TCAV), with captum."""

import tempfile
from dataclasses import dataclass

import torch
from captum.concept import TCAV, Classifier, Concept
from sklearn.linear_model import LogisticRegression

from equidiff_cli.engine.device import exact
from equidiff_cli.explain.methods import quiet, seeded

HELD_OUT = 4  # every fourth picture tries a direction that the others gave


@dataclass
class Scores:
    """What was found for a concept at a layer, a number for each of R random counterparts.

    Args:
        shares: name of a set -> (R,), the share of its pictures along whose concept direction the value grows.
        accuracy: (R,), of the direction on pictures that it was not fitted to, 0.5 by chance.
        chance: (R,), the shares of members for directions between two counterparts.
    """

    shares: dict
    accuracy: torch.Tensor
    chance: torch.Tensor


class Separating(Classifier):
    """The direction of a concept: logistic regression on standardised activations, the same every time."""

    def __init__(self):
        self.model = LogisticRegression(C=0.01, max_iter=200)

    def train_and_eval(self, dataloader, **_):
        x, y = (torch.cat(parts).double() for parts in zip(*dataloader, strict=True))
        scale = x.std().clamp_min(1e-12)  # one for all channels: a direction is not to turn
        x, y, out = (x / scale).numpy(), y.long().numpy(), torch.zeros(len(y), dtype=torch.bool)
        for label in set(y.tolist()):
            out[(torch.from_numpy(y) == label).nonzero().flatten()[::HELD_OUT]] = True
        tried = out.numpy()
        accuracy = self.model.fit(x[~tried], y[~tried]).score(x[tried], y[tried])
        self.model.fit(x, y)
        return {"accs": accuracy}

    def weights(self):
        direction = torch.from_numpy(self.model.coef_[0])
        return torch.stack([-direction, direction])

    def classes(self):
        return self.model.classes_.tolist()


def tcav(case, concepts, counterparts, layers, sets):
    """(layer, concept) -> `Scores` (Kim et al. 2018, arXiv:1711.11279).

    Args:
        concepts: name -> inputs (M, C, h, w) of its pictures.
        counterparts: name -> R tensors of as many inputs, none of the concept.
        sets: name -> inputs; "members" is what chance is of.
    """
    found = {}
    for name, inputs in concepts.items():
        mine = _concept(len(counterparts[name]), "concept", inputs, case)
        others = [_concept(i, f"random{i}", one, case) for i, one in enumerate(counterparts[name])]
        against = [[mine, other] for other in others]
        between = [[a, b] for a, b in zip(others, others[1:] + others[:1], strict=True)]
        with tempfile.TemporaryDirectory() as folder, exact(), quiet(), seeded(case.options.seed):
            tested = TCAV(
                case.forward, [f"model.{layer}" for layer in layers], classifier=Separating(), save_path=folder
            )
            shares = {kind: _shares(tested, x, against, case) for kind, x in sets.items() if len(x)}
            chance = _shares(tested, sets["members"], between, case)
        for layer in layers:
            where = f"model.{layer}"
            accuracy = [tested.cavs[_key(one)][where].stats["accs"] for one in against]
            found[layer, name] = Scores(
                {kind: of[where] for kind, of in shares.items()}, torch.tensor(accuracy), chance[where]
            )
    return found


def _concept(number, name, inputs, case):
    return Concept(number, name, list(inputs.split(case.options.batch)))


def _key(concepts):
    return "-".join(str(concept.id) for concept in concepts)


def _shares(tested, inputs, experiments, case):
    """layer -> (R,), the share of inputs along whose first concept's direction the value grows."""
    total = {}
    for part in inputs.split(case.options.batch):
        found = tested.interpret(part.clone(), experiments)
        for layer in tested.layers:
            counts = torch.stack([found[_key(one)][layer]["sign_count"][0].cpu() for one in experiments])
            total[layer] = total.get(layer, 0) + counts.double() * len(part) / len(inputs)
    return total
