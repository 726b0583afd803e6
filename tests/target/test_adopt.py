"""A user's own network: every form of weights, input, output and names that is understood, and the line for others."""

from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from equidiff_cli.parts.objectives import Logit, Probability
from equidiff_cli.target import Target, adopt, top_class

QUERY = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
PICTURES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A convolution and a head, whose logits `give` wraps; `classes` as given."""

    def __init__(self, outputs=3, give=lambda y: y, channels=3, **attributes):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.give = nn.Conv2d(channels, 4, 3), nn.Linear(4, outputs), give
        for name, value in attributes.items():
            setattr(self, name, value)

    def logits(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))

    def forward(self, x):
        return self.give(self.logits(x))


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


GIVEN = {  # what a network may make of its logits -> what is said of it
    "tensor": (lambda y: y, None),
    "tuple": (lambda y: (y, y + 1), "the first of its tuple of 2"),
    "list": (lambda y: [y], "the first of its list of 1"),
    "dict": (lambda y: {"features": y + 1, "logits": y}, "logits of its dict"),
    "dict of one": (lambda y: OrderedDict(out=y), "out of its dict"),
    "object": (lambda y: SimpleNamespace(logits=y, hidden=None), "logits of its SimpleNamespace"),
    "map of one pixel": (lambda y: y[..., None, None], None),
    "squeezed": (lambda y: y.squeeze(), None),
}


@pytest.mark.parametrize(("give", "said"), GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("outputs", [1, 3])
def test_what_a_network_gives_is_read(give, said, outputs):
    net = Net(outputs, give)
    target = adopt(net, QUERY)
    for x in (QUERY, PICTURES, PICTURES[:3]):
        torch.testing.assert_close(target(x), net.logits(x))
    assert target.uses.get("output") == said
    assert target.classes == tuple("012"[:outputs]) and target.name == "Net"


def test_one_number_a_picture_is_a_head_with_one_output():
    net = Net(1, lambda y: y[:, 0])
    torch.testing.assert_close(adopt(net, QUERY)(PICTURES), net.logits(PICTURES))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_become_float32(kind):
    target = adopt(Net().to(kind), QUERY)
    wanted = Net().to(kind).float().logits(PICTURES)
    assert target(PICTURES).dtype == torch.float32
    torch.testing.assert_close(target(PICTURES), wanted)
    assert target.uses == {"weights": f"float32, given as {str(kind)[6:]}"}


def test_weights_that_a_network_converts_for_itself_stay():
    class Half(Net):
        def forward(self, x):
            return super().forward(x.double())

    target = adopt(Half().double(), QUERY)
    assert target.model.fc.weight.dtype == torch.float64 and target.uses == {}


def test_half_precision_outputs_become_float32():
    assert adopt(Net(give=lambda y: y.half()), QUERY)(PICTURES).dtype == torch.float32


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_a_network_of_one_channel_is_given_the_luminance(kind):
    net = Net(channels=1)
    target = adopt(Net(channels=1).to(kind), QUERY)
    grey = (PICTURES * torch.tensor([0.2989, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    torch.testing.assert_close(target(PICTURES), net.to(kind).float().logits(grey))
    assert target.uses["input"] == "luminance, for the network takes one channel"
    x = PICTURES.clone().requires_grad_()
    assert (torch.autograd.grad(target(x)[:, 0].sum(), x)[0] != 0).any(dim=(0, 2, 3)).all()


def test_a_network_that_turns_grey_by_itself_gets_the_picture():
    class Grey(Net):
        def forward(self, x):
            return super().forward(x.mean(1, keepdim=True))

    target = adopt(Grey(channels=1), QUERY)
    torch.testing.assert_close(target(PICTURES), Net(channels=1).logits(PICTURES.mean(1, keepdim=True)))
    assert target.uses == {}


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:`torch.jit")
@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (torch.jit.script, "Scripted"),
        (lambda net: torch.compile(net, backend="eager"), "Scripted"),
        (nn.DataParallel, "Scripted"),
    ],
    ids=["script", "compile", "parallel"],
)
def test_wrapped_networks(wrap, name):
    target = adopt(wrap(Scripted()), QUERY)
    torch.testing.assert_close(target(PICTURES), Scripted()(PICTURES))
    assert target.name == name and not any(p.requires_grad for p in target.model.parameters())


def test_names_behind_a_wrapper():
    assert adopt(nn.DataParallel(Net(classes=["a", "b", "c"])), QUERY).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (["a", "b", "c"], ("a", "b", "c")),
        ({"c": 2, "a": 0, "b": 1}, ("a", "b", "c")),
        ({0: "a", 1: "b", 2: "c"}, ("a", "b", "c")),
        ([10, 20, 30], ("10", "20", "30")),
        (None, ("0", "1", "2")),
        ([], ("0", "1", "2")),
        (3, ("0", "1", "2")),
        (nn.Linear(2, 2), ("0", "1", "2")),
    ],
    ids=str,
)
def test_names_of_classes(classes, names):
    assert adopt(Net(classes=classes), QUERY).classes == names


class Dropped(Net):
    """Its batch is gone: all logits in one row."""

    def forward(self, x):
        return super().forward(x).view(1, -1)


class Fails(Net):
    def forward(self, x):
        assert x.shape[-1] == 224, "wrong\nsize"


class Exits(Net):
    def forward(self, x):
        raise SystemExit(1)


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.LazyConv2d(3, 8)

    def forward(self, x):
        return self.conv(x).flatten(1)


MUST = r"Net must map pictures \(N, 3, H, W\) in \[0, 1\] to logits \(N, classes\), "
REFUSED = {
    "none": (lambda: Net(give=lambda y: None), MUST + "gave a NoneType"),
    "text": (lambda: Net(give=str), MUST + "gave a str"),
    "dict": (lambda: Net(give=lambda y: {"boxes": y, "scores": y}), MUST + "gave a dict of boxes, scores"),
    "map": (
        lambda: Net(give=lambda y: y[..., None, None].expand(-1, -1, 2, 2)),
        MUST + r"gave \(1, 3, 2, 2\) for one picture and \(2, 3, 2, 2\) for two",
    ),
    "one for all": (lambda: Net(give=lambda y: y.mean(0)), MUST + r"gave \(3,\) for one picture and \(3,\) for two"),
    "batch": (Dropped, r"Dropped must map .* gave \(1, 3\) for one picture and \(1, 6\) for two"),
    "whole numbers": (lambda: Net(give=lambda y: y.round().long()), "Net gives int64; logits are floating-point"),
    "nan": (lambda: Net(give=lambda y: y * float("nan")), "Net gives nan for the query"),
    "fails": (Fails, r"Fails fails on pictures \(1, 3, 8, 8\); .* it said AssertionError: wrong size"),
    "exits": (Exits, r"Exits fails on pictures .* it said SystemExit: 1"),
    "two channels": (lambda: Net(channels=2), "Net fails on pictures .* to have 2 channels, but got 3"),
    "lazy": (Lazy, r"Lazy has layers without weights \(conv.weight\)"),
    "class": (lambda: Net, "returned the class Net itself, not one of it; must return a torch.nn.Module"),
    "function": (lambda: lambda x: x, "returned a function; must return a torch.nn.Module"),
    "number of classes": (lambda: Net(classes=4), "Net has classes=4 but gives 3 logits"),
    "names": (lambda: Net(classes=["a"]), "Net names 1 classes but gives 3 logits"),
    "text as names": (lambda: Net(classes="abc"), r"Net.classes=abc: must be a list of names"),
    "None as a name": (lambda: Net(classes=["a", None, "c"]), "Net.classes: None is no name of a class"),
    "gap": (lambda: Net(classes={0: "a", 1: "b", 3: "c"}), "Net.classes: the map has 3 classes .* but not 2"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_gets_one_line(make, message):
    with pytest.raises(ValueError, match=f"^target._target_: {message}") as error:
        adopt(make(), QUERY)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_targets_of_ones_own_are_tried_too():
    def target(model, classes=("a", "b", "c")):
        return Target(model, lambda x: 2 * x - 1, classes, "mine")

    made = target(Net(give=lambda y: SimpleNamespace(logits=y)).half(), {"b": 1, "a": 0, "c": 2})
    assert adopt(made, QUERY) is made and made.uses == {"weights": "float32, given as float16"}
    assert made.classes == ("a", "b", "c") and made(PICTURES).shape == (4, 3)
    assert top_class(made, QUERY) == made(QUERY)[0].argmax()
    features = target(Net(give=lambda y: {"embedding": y}), [])
    assert set(adopt(features, QUERY)(PICTURES)) == {"embedding"}
    for wrong, message in (
        (target(Fails()), "target=mine: fails on pictures .* wrong size"),
        (target(Net(), ["a"]), "target=mine: names 1 classes but gives 3 logits"),
        (target(Net(give=lambda y: None)), "target=mine: must map .* gave a NoneType; without classes, give"),
    ):
        with pytest.raises(ValueError, match=message):
            adopt(wrong, QUERY)


def test_probabilities_of_heads_with_one_output_and_with_several_labels():
    one, three = adopt(Net(1), QUERY), adopt(Net(3, classes=["a", "b", "c"]), QUERY)
    with pytest.raises(ValueError, match=r"^objective.link=softmax: Net has one output, .* objective.link=sigmoid$"):
        Probability(one, QUERY, None)
    with pytest.raises(ValueError, match=r"^objective.link=probit: use one of softmax, sigmoid$"):
        Probability(three, QUERY, None, "probit")
    alone = Probability(one, QUERY, None, "sigmoid")
    torch.testing.assert_close(alone(PICTURES), 1 / (1 + torch.exp(-Logit(one, QUERY, 0)(PICTURES))))
    several = Probability(three, QUERY, "b", "sigmoid")
    torch.testing.assert_close(several(PICTURES)[:, 0], 1 / (1 + torch.exp(-three(PICTURES)[:, 1])))
    assert several.description == "probability of b by sigmoid"
    assert Probability(three, QUERY, "all", "sigmoid")(PICTURES).shape == (4, 3)
    torch.testing.assert_close(Probability(three, QUERY, "all")(PICTURES).sum(1), torch.ones(4))


def test_odd_networks_through_the_command(equidiff, tmp_path):
    (tmp_path / "odd_nets.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    classes = ['7', '0', '1']\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        torch.set_grad_enabled(False)\n"
        "        self.scale = torch.nn.Parameter(torch.ones(1, 3, dtype=torch.float64))\n"
        "        self.conv = torch.nn.Conv2d(1, 3, 3, dtype=torch.float64)\n"
        "    def forward(self, x):\n"
        "        return {'logits': self.scale * self.conv(x).mean((2, 3))}\n"
        "class Broken(Net):\n"
        "    def forward(self, x):\n"
        "        raise RuntimeError('first\\nsecond')\n"
    )
    words = ("run", "target=function", "prior=embedded", "samples=1", "budget.steps=1", "prior.steps=1")
    words += ("null_samples=2", "hydra.run.dir=out")
    done = equidiff(*words, "target._target_=odd_nets.Net", "objective.label=7")
    assert done.returncode == 0, done.stderr
    assert "Net: weights float32, given as float64; input luminance, for the network takes one channel" in done.stderr
    assert '"target_uses": {' in (tmp_path / "out" / "summary.json").read_text()
    for more, said in (
        (("target._target_=odd_nets.Net", "objective.label=0", "hydra.run.dir=b"), "the index of 7 and the name of"),
        (("target._target_=odd_nets.Broken", "hydra.run.dir=c"), "it said RuntimeError: first second"),
    ):
        done = equidiff(*words, *more)
        assert done.returncode == 2 and done.stdout == "" and said in done.stderr
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
        assert not (tmp_path / more[-1][-1]).exists()
