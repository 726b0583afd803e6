"""Networks in a user's own code: found wherever they are kept, and told from others by their state alone."""

import copy
import functools
import sys

import pytest
import torch
from torch import nn

from equidiff_cli.weights.modules import Modules, digest

SHARED = nn.Linear(2, 2)


def judge():
    torch.manual_seed(0)
    return nn.Linear(3, 2)


class Holder:
    def __init__(self, net):
        self.parts = {"deep": [net]}

    def method(self, x):
        return x


class Listed(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.own, self.layers = nn.Linear(1, 1), [net]


def closure(net):
    return lambda x: net(x)


def default(net):
    def function(x, net=net):
        return net(x)

    return function


def nested(net):
    return functools.wraps(closure)(lambda x: (lambda y: net(y))(x))


class Shares:
    def __call__(self, x):
        return SHARED(x)


PLACES = {
    "itself": lambda net: net,
    "attribute": Holder,
    "closure": closure,
    "default": default,
    "nested": nested,
    "bound method": lambda net: Holder(net).method,
    "partial": lambda net: functools.partial(lambda net, x: net(x), net),
    "partial by name": lambda net: functools.partial(lambda x, net: net(x), net=net),
    "tuple": lambda net: (1, net),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_network_is_found_and_told_from_another(place):
    net, other = judge(), judge()
    with torch.no_grad():
        other.bias[0] += 1e-6
    found, same, changed = (list(Modules().digests(PLACES[place](one)).values()) for one in (net, judge(), other))
    assert found == same == [digest(net)] and changed == [digest(other)] != found


def test_what_a_function_uses_of_its_file():
    def function(x):
        return [SHARED(one) for one in x]

    for made in (function, Shares()):
        assert list(Modules().digests(made).values()) == [digest(SHARED)]


def test_what_a_function_uses_of_another_file(tmp_path, monkeypatch):
    (tmp_path / "nets_of_mine.py").write_text(
        "import torch\nNET = torch.nn.Linear(2, 2)\nOTHER = torch.nn.Linear(2, 2)\n"
    )
    (tmp_path / "uses_nets.py").write_text("import nets_of_mine\ndef build(x):\n    return nets_of_mine.NET(x)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import uses_nets

    try:
        assert list(Modules().digests(uses_nets.build).values()) == [digest(uses_nets.nets_of_mine.NET)]
    finally:
        del sys.modules["uses_nets"], sys.modules["nets_of_mine"]


def test_layers_in_a_plain_list_count_and_each_network_counts_once():
    inner, modules = judge(), Modules()
    found = modules.digests(Listed(inner))
    assert list(found) == ["Listed", "Linear (layers.0)"] and found["Linear (layers.0)"] == digest(inner)
    assert modules.digests(closure(inner)) == {}
    assert Modules().digests([nn.ReLU(), torch.rand(3), "text", None, print, torch]) == {}


def test_the_digest_is_that_of_the_values():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert digest(net) == digest(copy.deepcopy(net)) == digest(copy.deepcopy(net).eval().requires_grad_(False))
    others = [net.double(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Sequential(net)]
    running = copy.deepcopy(net)
    running[1].running_mean[0] = 1
    assert len({digest(one) for one in (*others, running)}) == 4
    assert len(digest(nn.Linear(2, 2).bfloat16())) == 64
