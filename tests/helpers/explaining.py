"""Small networks whose explanations are known, ready to be explained."""

from types import SimpleNamespace

import torch
from torch import nn

from equidiff_cli.explain.forward import Forward
from equidiff_cli.explain.methods import METHODS, Settings
from equidiff_cli.parts.objectives import Logit
from equidiff_cli.study.sets import Set
from equidiff_cli.target.target import Target


class Linear(nn.Module):
    """Logits w . x and its opposite, w of random numbers."""

    def __init__(self, side):
        super().__init__()
        self.last = nn.Linear(3 * side * side, 2, bias=False)
        w = torch.randn(3 * side * side, generator=torch.Generator().manual_seed(0))
        self.last.weight.data.copy_(torch.stack([w, -w]))

    def forward(self, x):
        return self.last(x.flatten(1))


class Corner(nn.Module):
    """Looks at the upper left quarter alone, through ReLUs."""

    def __init__(self, side):
        super().__init__()
        self.first, self.act, self.last = nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Linear(4, 2)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            for one in self.parameters():
                nn.init.uniform_(one, 0.2, 1.0)
        mask = torch.zeros(side, side)
        mask[: side // 2, : side // 2] = 1
        self.register_buffer("mask", mask)

    def forward(self, x):
        return self.last((self.act(self.first(x)) * self.mask).sum((2, 3)))


class Bent(nn.Module):
    """max(a . x + c, 0) of all pixels, a positive and c negative: one ReLU, whose place on the way is known."""

    def __init__(self, side):
        super().__init__()
        self.first, self.act = nn.Linear(3 * side * side, 1), nn.ReLU()
        a = torch.rand(3 * side * side, generator=torch.Generator().manual_seed(1)) + 0.1
        self.first.weight.data.copy_(a[None])
        self.first.bias.data.fill_(-1.0)

    def forward(self, x):
        value = self.act(self.first(x.flatten(1)))
        return torch.cat([value, -value], 1)


def pictures(count, side, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def ready(network, side, count=5, transform=None, cells=4, layer=None, **changes):
    """What stands for an `Explained`: its sets, the `Forward` of the first logit, black as the baseline."""
    target = Target(network, transform or nn.Identity(), ("one", "other"), "small")
    x = pictures(count, side)
    forward = Forward(Logit(target, x[:1], 0), target, torch.ones(1))
    settings = Settings(**dict(steps=64, draws=64, cells=cells, layer=layer, batch=16, seed=0) | changes)
    case = SimpleNamespace(
        forward=forward,
        baseline=forward.enter(torch.zeros_like(x[:1])),
        settings=settings,
        options=SimpleNamespace(batch=16, cells=cells, seed=0, top=0.25),
        methods=[name for name in METHODS if name not in ("gradcam", "guided_backprop")],
        case=SimpleNamespace(lowpass=lambda x: x, target=target),
    )
    case.every = [*case.methods, "random"]
    case.samples, case.query = Set(case, x), Set(case, x[:1])
    return case
