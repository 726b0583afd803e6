"""What a classifier sees: the top class with its softmax probability, and nothing where there is none."""

import math

import pytest
import torch
from torch import nn

from equidiff_cli.target.seen import seen
from equidiff_cli.target.target import Target


def target(rows, classes):
    """A network that gives these logits, whatever it is shown."""

    class Fixed(nn.Module):
        def forward(self, x):
            return torch.tensor(rows)

    return Target(Fixed(), nn.Identity(), classes, "net")


PICTURES = torch.zeros(2, 3, 4, 4)


def test_the_top_class_of_each_picture_with_its_probability():
    first, second = seen(target([[0.0, math.log(3)], [2.0, 0.0]], ["cat, domestic cat", "dog"]), PICTURES)
    assert first == {"net": {"class": "dog", "probability": 0.75}}
    assert second["net"]["class"] == "cat"
    assert second["net"]["probability"] == pytest.approx(math.exp(2) / (1 + math.exp(2)), abs=1e-4)


@pytest.mark.parametrize("classes", [[], ["yes"]])
def test_features_and_single_outputs_are_no_classes(classes):
    assert seen(target([[1.0], [2.0]], classes), PICTURES) == [{}, {}]


def test_what_is_not_finite_is_no_probability_and_harms_no_neighbour():
    broken, fine = seen(target([[math.nan, 0.0], [0.0, 0.0]], ["a", "b"]), PICTURES)
    assert broken == {} and fine == {"net": {"class": "a", "probability": 0.5}}
