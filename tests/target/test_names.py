"""Names of a user's own code: its `name`, else that of the function or class, never a path."""

import functools

import pytest
import torch
from torch import nn

from equidiff_cli.target.adopt import adopt
from equidiff_cli.target.names import called, described


class Net(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def redness(x):
    return x[:, :1].mean((2, 3))


def named(made, **names):
    for key, value in names.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (Net(), "Net"),
        (named(Net(), name="my  net\n"), "my net"),
        (named(Net(), name=None), "Net"),
        (named(Net(), name=""), "Net"),
        (torch.jit.trace(Net(), torch.rand(1, 3, 2, 2)), "Net"),
        (redness, "redness"),
        (lambda x: x, ""),
    ],
)
def test_what_things_are_called(made, name):
    assert called(made) == name


def test_a_module_of_ones_own_is_called_by_its_name():
    query = torch.rand(1, 3, 4, 4)
    assert adopt(named(Net(), name="eyes"), query).name == "eyes" and adopt(Net(), query).name == "Net"


@pytest.mark.parametrize(
    ("objective", "given", "words"),
    [
        (named(functools.partial(redness), description="share of red", name="red"), None, "share of red"),
        (named(functools.partial(redness), name="red"), None, "red"),
        (lambda x: x, None, "Redness"),
        (redness, redness, "redness"),
        (named(functools.partial(redness), description=lambda: "no text"), None, "Redness"),
    ],
)
def test_an_objective_is_called_by_its_words_or_by_its_code(objective, given, words):
    assert described(objective, given, "mine.parts.Redness") == words


def test_a_lambda_from_python_is_not_called_by_what_the_group_says():
    assert described(lambda x: x, lambda x: x, "equidiff_cli.parts.objectives.Logit") == "own objective"
