"""`objective=all`: the terms of a request, each with its own objective, question and, where it names one, target."""

import copy
import json
from dataclasses import dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from equidiff_cli.parts.together import Together
from equidiff_cli.request.asking import composed_terms
from equidiff_cli.request.groups import plain
from equidiff_cli.request.part import part
from equidiff_cli.target.copies import copied


@dataclass(frozen=True)
class Term:
    """One term, its parts made.

    Args:
        question: the configuration of its question.
        held: what its objective is, in words.
    """

    target: Any
    objective: Any
    question: DictConfig
    weight: float
    held: str


class All:
    """The values of several objectives side by side: pictures (N, 3, H, W) -> (N, K).

    Args:
        target: of the run; terms that name none ask it.
        terms: as of `asking.terms`.
        made: configuration of a target -> that target, ready; None: its `build`.
    """

    def __init__(self, target, query, terms, made=None):
        self.terms, targets = [], {}
        for of_target, of_objective, question, weight in composed_terms(plain(terms)):
            network = target
            if of_target is not None:
                key = json.dumps(plain(of_target), sort_keys=True)
                network = targets[key] = targets.get(key) or (made or alone)(of_target)
            objective = copied(part(OmegaConf.create({"objective": of_objective}), "objective", network, query.clone()))
            held = getattr(objective, "description", None) or getattr(objective, "__name__", type(objective).__name__)
            self.terms.append(Term(network, objective, question, weight, str(held)))
        for i, term in enumerate(self.terms):
            for other in self.terms[:i]:
                if (term.target, term.held) == (other.target, other.held):
                    raise ValueError(
                        f"objective.terms[{i}]: asks of the {term.held} of {term.target.name}, as another term does;"
                        " they would contradict"
                    )
        self.networks = list({id(term.target): term.target for term in self.terms}.values())

    @property
    def description(self):
        return " and ".join(f"{term.held} of {term.target.name}" for term in self.terms)

    def through(self, wrap):
        """The same terms with objectives that `wrap` makes of theirs, each with a `description`."""
        other, wrapped = copy.copy(self), [wrap(term.objective) for term in self.terms]
        pairs = zip(self.terms, wrapped, strict=True)
        other.terms = [replace(term, objective=one, held=one.description) for term, one in pairs]
        return other

    def __call__(self, x):
        return torch.cat([term.objective(x).float() for term in self.terms], dim=1)

    def question(self, distance, lowpass, query):
        """The `Together` of all terms."""
        questions = [
            part(OmegaConf.create({"question": term.question}), "question", term.objective, distance, lowpass, query)
            for term in self.terms
        ]
        names = [{"objective": term.held, "target": term.target.name} for term in self.terms]
        return Together(questions, [term.weight for term in self.terms], names, self)


def alone(node):
    """The target of a configuration, read here."""
    return part(OmegaConf.create({"target": node}), "target").build()
