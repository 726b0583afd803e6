"""Outputs that are probabilities already: when they are taken for such, and what objectives make of them."""

import pytest
import torch
from torch import nn

from equidiff_cli.engine.trial import pictures
from equidiff_cli.metrics.agreement import jensen_shannon
from equidiff_cli.parts.objectives import Logit, Logits, Probability
from equidiff_cli.request.light import ready
from equidiff_cli.target.probabilities import logits, warning
from equidiff_cli.target.small import embedded

QUERY = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Ending(nn.Module):
    """The shipped network with something at its end."""

    def __init__(self, end):
        super().__init__()
        self.shipped, self.end = embedded("smallconv"), end

    def forward(self, x):
        return self.end(self.shipped(x))


ENDS = {
    "softmax": (nn.Softmax(1), True),
    "log softmax": (nn.LogSoftmax(1), False),
    "sigmoid": (nn.Sigmoid(), False),
    "logits": (nn.Identity(), False),
    "at least 0": (nn.ReLU(), False),
    "sum 1": (lambda x: x - x.mean(1, keepdim=True) + 0.1, False),
    "one column": (lambda x: x[:, :1] * 0 + 1, False),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_counts_as_probabilities(name):
    end, expected = ENDS[name]
    target = ready(Ending(end), QUERY)
    assert target.gives_probabilities is expected
    assert [line.partition(",")[0] for line in warning(target)] == ["target=Ending: gives probabilities"] * expected


def test_nothing_is_flattened_by_a_second_softmax():
    plain, target = ready(embedded("smallconv"), QUERY), ready(Ending(nn.Softmax(1)), QUERY)
    x = pictures(QUERY)
    expected = plain(x).softmax(1)
    for label in (3, "all"):
        one, other = (Probability(network, QUERY, label) for network in (target, plain))
        torch.testing.assert_close(one(x), other(x))
    torch.testing.assert_close(logits(target, target(x)).softmax(1), expected)
    outputs, query = target(x), target(QUERY)[0]
    torch.testing.assert_close(
        jensen_shannon(logits(target, outputs), logits(target, query)), jensen_shannon(plain(x), plain(QUERY)[0])
    )
    assert torch.equal(logits(plain, plain(x)), plain(x))
    assert Logit(target, QUERY, 3).description == "probability of 3"
    assert Logits(target, QUERY, [3]).description == "probabilities of 3"
    assert Logit(plain, QUERY, 3).description == "logit of cat"
