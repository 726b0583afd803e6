"""What is tried at the start: sound networks and objectives pass, those that no sample could answer are refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from equidiff_cli.engine.start import loss_scale, null_distance
from equidiff_cli.engine.trial import SHARE, pictures, try_question, varied
from equidiff_cli.parts.distances import SquaredL2
from equidiff_cli.parts.filters import Gaussian
from equidiff_cli.parts.questions import Invariance

QUERY = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A small network with something before, amid and after; `layers` lie in a plain list, which `eval()` misses."""

    def __init__(self, before=lambda x: x, amid=lambda x: x, after=lambda x: x, norm=None, layers=(), stays=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.fc = nn.Conv2d(3, 16, 3, stride=2), norm or nn.Identity(), nn.Linear(16, 3)
        self.before, self.amid, self.after, self.layers, self.stays = before, amid, after, list(layers), stays

    def train(self, mode=True):
        return super().train(mode or self.stays)

    def forward(self, x):
        x = self.norm(self.conv(self.before(x))).relu().mean((2, 3))
        for layer in self.layers:
            x = layer(x)
        return self.after(self.fc(self.amid(x)))


class Counter:
    """Adds a little more at every call."""

    calls = 0

    def __call__(self, x):
        self.calls += 1
        return x + 0.01 * self.calls


def question(net, lowpass=None, column=0):
    net = net.eval().requires_grad_(False)
    return Invariance(lambda x: net(x)[:, column, None], SquaredL2(), lowpass or Gaussian(0.5), QUERY)


SOUND = {
    "plain": {},
    "batch norm": dict(norm=nn.BatchNorm2d(16)),
    "dropout that is off": dict(amid=nn.Dropout(0.5)),
    "large values that differ little": dict(after=lambda x: x + 100),
    "small values": dict(after=lambda x: 1e-6 * x),
    "half the places": dict(after=lambda x: x.bfloat16()),
    "rounding with a straight gradient": dict(before=lambda x: x + ((x * 255).round() / 255 - x).detach()),
    "clipping": dict(before=lambda x: x.clamp(0.2, 0.8)),
    "saturated at the query": dict(after=lambda x: F.hardtanh(x - x.detach()[:, :1] * 0 + 0.3, -1, 0.2)),
}
CHANCE, NEIGHBOURS = "gives other values for the same picture each time", "beside other pictures than alone"
ROUNDS = "the gradient of its loss is zero everywhere"
UNSOUND = {
    "functional dropout": (dict(amid=F.dropout), CHANCE),
    "rare dropout": (dict(amid=lambda x: F.dropout(x, 0.05)), CHANCE),
    "dropout in a list": (dict(layers=[nn.Dropout(0.1)]), CHANCE),
    "noise": (dict(amid=lambda x: x + 0.1 * torch.randn_like(x)), CHANCE),
    "state": (dict(amid=Counter()), CHANCE),
    "batch statistics": (dict(norm=nn.BatchNorm2d(16, track_running_stats=False)), NEIGHBOURS),
    "train() overridden": (dict(norm=nn.BatchNorm2d(16), stays=True), NEIGHBOURS),
    "mean of the batch at the end": (dict(after=lambda x: x - x.mean(0)), NEIGHBOURS),
    "least of the batch": (dict(after=lambda x: x - x.amin(0)), NEIGHBOURS),
    "mean of the batch before": (dict(before=lambda x: x - x.mean(0)), NEIGHBOURS),
    "batch as a sequence": (dict(amid=lambda x: x.cumsum(0)), NEIGHBOURS),
    "8 bits": (dict(before=lambda x: (x * 255).round() / 255), ROUNDS),
    "8 bits, cut off": (dict(before=lambda x: (x * 255).floor() / 255), ROUNDS),
    "rounded values": (dict(after=lambda x: (x * 100).round()), ROUNDS),
    "what cancels": (dict(after=lambda x: (x - x.mean(1, keepdim=True)).sum(1, keepdim=True)), "up to rounding"),
    "not a number": (dict(after=lambda x: x * float("nan")), "not a finite number for the query"),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_passes(name):
    asked = question(Net(**SOUND[name]))
    tolerance = try_question(asked, QUERY, "mine")
    values = asked.objective(pictures(QUERY)).float()
    share, size = SHARE * (values.max() - values.min()).item(), values.abs().max().item()
    assert share <= tolerance <= share + (0.02 if name == "half the places" else 2e-6) * size


@pytest.mark.parametrize("name", UNSOUND)
def test_what_is_not_is_refused_in_one_line(name):
    options, message = UNSOUND[name]
    torch.manual_seed(2)
    with pytest.raises(ValueError, match=f"^mine: .*{message}") as refused:
        try_question(question(Net(**options)), QUERY, "mine")
    assert "\n" not in str(refused.value)


def test_a_filter_or_a_distance_that_lets_nothing_through():
    for lowpass, message in (
        (lambda x: (x * 255).round() / 255, "the gradient of its loss of the filtered pictures is zero"),
        (lambda x: x.detach(), "the gradient of its loss of the filtered pictures is zero"),
    ):
        with pytest.raises(ValueError, match=message):
            try_question(question(Net(), lowpass), QUERY, "mine")
    rounds = question(Net())
    rounds.distance = lambda values, target: (values - target).abs().sum(1).detach()
    with pytest.raises(ValueError, match="its loss cannot be differentiated"):
        try_question(rounds, QUERY, "mine")


def test_a_neuron_that_only_the_query_wakes_is_no_rounding():
    """Every other trial picture is below its threshold, and yet a step from near the query would change it."""
    net = Net().eval()
    with torch.no_grad():
        query, *others = net(pictures(QUERY))[:, 0].tolist()
        sign, gap = 1 if query > max(others) else -1, min(abs(query - other) for other in others)
        net.fc.weight[0] *= sign
        net.fc.bias[0] = sign * (net.fc.bias[0] - query) + 0.5 * gap
    net.after = torch.relu
    assert (net(pictures(QUERY))[:, 0] > 0).tolist() == [True, False, False, False]
    try_question(question(net), QUERY, "mine")


def test_pictures_are_in_range_and_others():
    trial = pictures(QUERY)
    assert trial.min() >= 0 and trial.max() <= 1 and torch.equal(trial[:1], QUERY)
    assert (trial[:, None] - trial[None]).abs().amax((2, 3, 4))[~torch.eye(4, dtype=bool)].min() > 0.1


def test_what_varies():
    drawn = torch.rand(6, 3, 8, 8)
    base = torch.tensor([[1.0], [1.0], [1.0], [1.0], [1.0], [1 + 1e-7]])
    assert not varied(lambda x: base[: len(x)] * torch.ones(1, 2), drawn, 6), "one unit in the last place"
    assert not varied(lambda x: torch.zeros(len(x), 2), drawn, 2)
    assert varied(lambda x: x.mean((2, 3)), drawn, 2)
    assert varied(lambda x: torch.cat([torch.ones(len(x), 1), x[:, 0, 0, :1]], 1), drawn, 4), "one of two values"


class Drawing:
    """A prior that draws noise."""

    def unguided(self, samples, batch):
        return torch.rand(samples, 3, 8, 8)


def test_a_constant_up_to_rounding_has_no_spread(tiny_prior):
    class Plan:
        batch = 4

    class Memory:
        plan = Plan

        def attempt(self, function):
            return function()

    constant = question(Net(after=lambda x: x.softmax(1).sum(1, keepdim=True)))
    assert constant.spread(torch.rand(64, 3, 8, 8), 8) < 1e-12
    spread = null_distance(Drawing(), constant, 64, Memory())
    assert spread == 0
    with pytest.raises(ValueError, match=r"is 0\.0; give a number, or hold what differs by more than rounding"):
        loss_scale("auto", spread)
    assert loss_scale(2.0, spread) == 2 and null_distance(Drawing(), question(Net()), 8, Memory()) > 0
