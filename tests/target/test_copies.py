"""Code that works in place gets copies: what it was handed stays as it was, and gradients flow."""

import copy

import pytest
import torch
from torch import nn

from equidiff_cli.target import Target
from equidiff_cli.target.adopt import adopt
from equidiff_cli.target.copies import Copied, copied

X = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class InPlace(nn.Module):
    """Normalises what it is given, in place."""

    name, files = "in place", ()

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x.sub_(0.5).div_(0.25)).tanh().mean((2, 3))


class Duck:
    """What can be called like a target."""

    name, files, classes = "duck", (), ["a", "b", "c", "d"]

    def __init__(self):
        self.model = InPlace()

    def __call__(self, x):
        return self.model(x)

    def activations(self, x, layer):
        return x.mul_(2)


def network():
    return Target(InPlace(), nn.Identity(), tuple("abcd"), "network")


def transform():
    net = InPlace()
    return Target(net.conv, lambda x: x.sub_(0.5).div_(0.25), tuple("abcd"), "transform")


def module():
    return adopt(InPlace(), X[:1].clone())


def duck():
    return adopt(Duck(), X)


@pytest.mark.parametrize("make", [network, transform, module, duck])
def test_a_target_leaves_pictures_as_they_are(make):
    target, conv = make(), InPlace().conv
    before, x, pure = X.clone(), X.clone().requires_grad_(), X.clone().requires_grad_()
    expected = conv((pure - 0.5) / 0.25)
    found = target(x)
    if found.ndim == 2:
        expected = expected.tanh().mean((2, 3))
    torch.testing.assert_close(found, expected)
    assert torch.equal(x, before)
    for values in (found, expected):
        values.square().sum().backward()
    torch.testing.assert_close(x.grad, pure.grad)


def test_what_is_adopted_keeps_what_it_has():
    made = Duck()
    target = adopt(made, X)
    assert target.classes == made.classes and target.model is made.model and not hasattr(target, "channel_axis")
    x = X.clone()
    assert torch.equal(target.activations(x, "any"), 2 * X) and torch.equal(x, X)


def test_functions_of_several_tensors():
    class Distance:
        description = "mine"

        def __call__(self, values, target):
            return values.sub_(target).square_().sum(1)

    distance, values, target = copied(Distance()), torch.ones(2, 3), torch.zeros(3)
    assert distance(values, target).tolist() == [3, 3] == distance(values, target).tolist()
    assert distance.description == "mine" and copied(distance) is distance and copied(7) == 7
    assert isinstance(copy.deepcopy(distance), Copied)
