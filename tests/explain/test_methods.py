"""Attributions on networks where they are known, and maps that sit where the network looks."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.explaining import Bent, Corner, Linear, pictures, ready
from torch import nn
from torchvision.transforms import Compose, Normalize, Resize

from equidiff_cli.explain.cells import cell_of, masked, pooled
from equidiff_cli.explain.control import randomised
from equidiff_cli.explain.forward import Forward, direction_of
from equidiff_cli.explain.layers import chosen
from equidiff_cli.explain.maps import cells, complete, inputs, maps, raw, totals, value
from equidiff_cli.explain.methods import EVERY, METHODS, attributions, seeded, unable
from equidiff_cli.parts.objectives import Logit
from equidiff_cli.parts.wrapped import Evidence
from equidiff_cli.request.terms import All
from equidiff_cli.target.copies import Copied
from equidiff_cli.target.target import Target

ADDITIVE = ("input_x_gradient", "integrated_gradients", "gradient_shap", "deeplift", "kernel_shap")


def test_of_a_linear_network_every_additive_method_gives_w_times_x():
    case = ready(Linear(8), 8, draws=256)
    w = case.forward.model.last.weight[0].view(1, 3, 8, 8)
    assert torch.allclose(raw(case.samples, "saliency"), w.abs().expand(5, -1, -1, -1), atol=1e-6)
    expected = pooled(w * case.samples.pictures, 4)
    for name in ADDITIVE:
        tolerance = 2e-2 if name == "kernel_shap" else 1e-4
        assert torch.allclose(cells(case.samples, name), expected, atol=tolerance), name


def test_the_rescale_rule_and_the_integral_of_one_relu():
    """Along t x the ReLU is open from t = -c / (a . x) on: both give f(x) a_i x_i / (a . x)."""
    case = ready(Bent(4), 4, steps=400)
    model, x = case.forward.model, case.samples.pictures
    a = model.first.weight.view(1, 3, 4, 4)
    expected = value(case.samples).view(-1, 1, 1, 1) * a * x / (a * x).sum((1, 2, 3), keepdim=True)
    assert (value(case.samples) > 0.5).all()
    assert torch.allclose(raw(case.samples, "deeplift"), expected, atol=1e-5)
    assert torch.allclose(raw(case.samples, "integrated_gradients"), expected, rtol=0.01, atol=1e-4)
    assert torch.allclose(raw(case.samples, "gradient_shap"), expected, rtol=0.3, atol=0.01)


def shapley(case, x):
    """Shapley values of the four cells of an input (1, 3, h, w), over all orders."""
    where, found = cell_of(*x.shape[-2:], 2), torch.zeros(4)
    for order in itertools.permutations(range(4)):
        kept = torch.zeros(1, 4, dtype=torch.bool)
        for cell in order:
            before = case.forward.measure(masked(x, case.baseline, kept, where), 8)
            kept[0, cell] = True
            found[cell] += (case.forward.measure(masked(x, case.baseline, kept, where), 8) - before).item() / 24
    return found


def test_kernel_shap_gives_shapley_values_of_cells():
    network = Bent(4)
    network.first.bias.data.fill_(-6.0)  # closed until two or three cells are there
    case = ready(network, 4, count=1, cells=2, draws=3000)
    expected = shapley(case, case.samples.pictures)
    assert expected.sum().item() == pytest.approx(value(case.samples).item(), rel=1e-5) and expected.min() > 0.1
    assert torch.allclose(cells(case.samples, "kernel_shap")[0], expected, rtol=0.1)


def test_sums_of_complete_methods_are_what_is_owed():
    case = ready(Corner(8), 8, draws=256)
    owed = value(case.samples) - case.forward.measure(case.baseline, 1)
    assert complete(case) == ["integrated_gradients", "gradient_shap", "deeplift", "kernel_shap"]
    for name in complete(case):
        assert torch.allclose(totals(case.samples, name).float(), owed, rtol=1e-2), name


@pytest.mark.parametrize("name", [*METHODS])
def test_maps_sit_where_the_network_looks(name):
    network = Corner(8)
    case = ready(network, 8, count=2, draws=128, layer=network.act)
    if name == "gradcam":  # of a layer whose gradient is the mask itself
        corner = raw(case.samples, name)[..., :4, :4].abs().sum()
        assert corner > 0.2 * raw(case.samples, name).abs().sum()  # its weights are means: it cannot tell where
        return
    mass = cells(case.samples, name).abs().view(2, 4, 4)
    least = 0.8 if name == "occlusion" else 0.95  # whose windows reach over the border
    assert (mass[:, :2, :2].sum((1, 2)) > least * mass.sum((1, 2))).all()


@pytest.mark.parametrize("name", ["saliency", "gradient_shap", "deeplift", "lime", "kernel_shap", "random"])
def test_a_picture_is_explained_alike_alone_and_among_others(name):
    case = ready(Corner(8), 8, count=3)
    alone = attributions(name, case.forward, inputs(case.samples)[1:2], case.baseline, case.settings)
    assert torch.allclose(alone[0], raw(case.samples, name)[1], atol=1e-6)


def test_what_is_drawn_leaves_the_random_numbers_of_others_alone():
    torch.manual_seed(5), np.random.seed(5)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(5), np.random.seed(5)
    with seeded(1):
        torch.rand(3), np.random.rand(3)
    assert (torch.rand(1), np.random.rand()) == expected


def test_maps_on_the_picture_keep_their_totals():
    transform = Compose([Resize(12), Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.1))])
    case = ready(Linear(12), 8, transform=transform)
    assert inputs(case.samples).shape == (5, 3, 12, 12) and maps(case.samples, "deeplift").shape == (5, 8, 8)
    assert torch.allclose(
        maps(case.samples, "deeplift").sum((1, 2)).double(), totals(case.samples, "deeplift"), rtol=1e-3
    )
    assert case.forward.parts[1].transform is transform  # put back
    # a point of the input lands where it was computed from
    point = torch.zeros(1, 1, 12, 12)
    point[0, 0, 0, 11] = 1
    landed = case.forward.back(point, (3, 8, 8))[0]
    assert landed.argmax().item() == 7 and landed.sum().item() == pytest.approx(1, rel=1e-4)


def test_shuffled_weights_come_back():
    network = Corner(8)
    before = {name: one.clone() for name, one in network.state_dict().items()}
    with randomised(network, 0.5, 0):
        after = network.state_dict()
        assert torch.equal(after["first.weight"], before["first.weight"])
        assert not torch.equal(after["last.weight"], before["last.weight"])
        assert torch.equal(after["last.weight"].flatten().sort()[0], before["last.weight"].flatten().sort()[0])
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())


def test_layers_that_give_maps_and_those_that_do_not():
    case = ready(Corner(8), 8)
    x = inputs(case.samples)[:1]
    assert chosen(case.forward, x, "auto") == ["act"] and chosen(case.forward, x, ["first"]) == ["first"]
    with pytest.raises(ValueError, match=r"layers=last: gives no map .*use one of first, act"):
        chosen(case.forward, x, ["last"])
    with pytest.raises(ValueError, match="layers=nope: no such layer; use one of first, act, last"):
        chosen(case.forward, x, ["nope"])
    case.forward.model = None
    with pytest.raises(ValueError, match=r"layers=first: the target is no torch module"):
        chosen(case.forward, x, ["first"])


def test_methods_say_what_they_need():
    case = ready(Linear(8), 8)
    assert "no nn.ReLU" in unable("guided_backprop", case.forward, None)
    assert "activations are functions" in unable("deeplift", case.forward, None)
    assert "no layer" in unable("gradcam", case.forward, None)
    assert unable("lime", case.forward, None) is None
    case.forward.model = None
    assert {name for name in EVERY if unable(name, case.forward, "x")} == {"guided_backprop", "deeplift", "gradcam"}


def test_several_values_are_explained_along_one_direction():
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    query = torch.tensor([2.0, 0.0, -1.0])
    direction = direction_of(values, query)
    along = query - values.mean(0)
    assert torch.cosine_similarity(direction, along, dim=0).item() == pytest.approx(1)
    assert (values @ direction).std().item() == pytest.approx(1)
    alone = direction_of(values[:, :1], query[:1])
    assert math.isclose(alone.item(), 1 / values[:, 0].std().item(), rel_tol=1e-5)
    with pytest.raises(ValueError, match="has no unit"):
        direction_of(torch.ones(4, 1), torch.ones(1))


def test_cells_of_sides_that_do_not_divide():
    where = cell_of(7, 7, 3)
    assert where.unique().tolist() == list(range(9)) and where[0, 0] == 0 and where[6, 6] == 8
    assert pooled(torch.ones(1, 2, 7, 7), 3).sum() == 98
    assert cell_of(2, 2, 8).max() == 3
    shown = masked(pictures(1, 7), torch.zeros(1, 3, 1, 1), torch.arange(9)[None] == 0, where)
    assert (shown != 0).sum() == 3 * (where == 0).sum()
    assert isinstance(ready(Linear(4), 4).forward, nn.Module)


def test_what_does_more_with_a_picture_than_to_show_it_is_explained_at_the_picture():
    """The evidence of a region, code of one's own behind its copies, and terms of two targets have the same value."""
    one, other = (Target(Corner(8), Normalize([0.5] * 3, [0.2] * 3), ("a", "b"), name) for name in ("one", "other"))
    x, mask = pictures(3, 8), torch.zeros(1, 1, 8, 8)
    mask[..., :4, :4] = 1
    terms = [SimpleNamespace(target=target, objective=Logit(target, x[:1], 0)) for target in (one, other)]
    alone, both = (All.__new__(All) for _ in range(2))
    alone.terms, both.terms = terms[:1], terms
    for objective in (Evidence(Logit(one, x[:1], 0), mask, x[:1]), Copied(lambda x: x.mean((1, 2, 3))[:, None]), both):
        forward = Forward(objective, one, torch.ones(2 if objective is both else 1))
        assert not forward.bare
        torch.testing.assert_close(forward.measure(forward.enter(x), 2), objective(x).sum(1).detach())
    assert Forward(alone, one, torch.ones(1)).bare
