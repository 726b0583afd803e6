"""Numbers of the sections on networks where they are known; random maps come out worst."""

import pytest
import torch
from helpers.explaining import Corner, Linear, ready

from equidiff_cli.explain import agreement, faithfulness, variety
from equidiff_cli.explain.directions import tcav
from equidiff_cli.explain.maps import cells, inputs
from equidiff_cli.explain.overlay import AGAINST, FOR, overlay
from equidiff_cli.explain.units import fitting, ratios


def test_the_gain_of_a_linear_network_is_a_sum_of_sorted_cells():
    case = ready(Linear(8), 8)
    v = cells(case.samples, "deeplift").sort(dim=1, descending=True).values  # 16 cells, two a level
    tops = torch.stack([v[:, : 2 * k].sum(1) for k in range(1, faithfulness.LEVELS)], 1)
    found = faithfulness.curves(case.samples, "deeplift")
    assert torch.allclose(found[:, 0], -tops, atol=1e-3)
    assert torch.allclose(found[:, 1], tops - v.sum(1, keepdim=True), atol=1e-3)
    assert torch.allclose(faithfulness.gains(case.samples, "deeplift"), (2 * tops).mean(1) - v.sum(1), atol=1e-3)
    assert faithfulness.gain_beats.function(case.samples, "deeplift").all()
    assert (faithfulness.infidelity_of.function(case.samples, "deeplift") < 1e-4).all()


def test_random_orders_gain_nothing_and_random_maps_are_worst():
    case = ready(Corner(8), 8)
    chance = faithfulness.by_chance(case.samples)
    assert chance.shape == (5, faithfulness.RANDOM_ORDERS)
    assert chance.mean().abs() < 0.25 * chance.std()
    names = [*case.methods, "random"]
    gains = {name: faithfulness.gain(case.samples, name=name).item() for name in names}
    wrong = {name: faithfulness.infidelity_of(case.samples, name=name).item() for name in names}
    kept = {name: faithfulness.sufficiency(case.samples, name=name).item() for name in names}
    assert min(gains, key=gains.get) == max(wrong, key=wrong.get) == max(kept, key=kept.get) == "random"
    assert faithfulness.gain_beats.function(case.samples, "random").float().mean() < 0.5


def test_methods_that_are_the_same_agree_and_random_maps_do_not():
    case = ready(Linear(8), 8)
    case.methods = ["deeplift", "input_x_gradient", "integrated_gradients"]
    for metric in (agreement.agree_rank, agreement.agree_top, agreement.agree_sign):
        assert metric(case.samples, name="deeplift").item() == pytest.approx(1, abs=0.02)
    assert abs(agreement.agree_rank(case.samples, name="random").item()) < 0.3
    assert abs(agreement.agree_sign(case.samples, name="random").item() - 0.5) < 0.25
    case.unguided = case.samples[:2]
    found = agreement.table(case)
    assert [(row["first"], row["second"]) for row in found][:1] == [("deeplift", "input_x_gradient")]
    assert found[0]["query"] == pytest.approx(1, abs=1e-4) and len(found) == 3


def test_one_reason_for_all_counts_as_one_map():
    case = ready(Corner(8), 8, count=4)
    assert variety.vendi(case.samples, name="saliency") == pytest.approx(1, abs=0.01)
    assert variety.vendi(case.samples, name="random") > 3
    assert variety.kept(case.samples, name="saliency").item() == pytest.approx(1)
    half = lambda x: x / 2  # noqa: E731
    case.case.lowpass = half
    assert variety.kept(case.samples, name="saliency").item() == pytest.approx(0.25)


def test_the_value_grows_along_a_planted_concept_and_not_along_another():
    """The first logit of `Corner` grows with every channel of its first layer in the corner."""
    case = ready(Corner(8), 8, count=6)
    dark, bright, elsewhere = (
        0.3 * torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(k)) for k in range(3)
    )
    bright[..., :4, :4] += 0.7
    others = [dark + 0.01 * k for k in range(3)]
    sets = {"members": inputs(case.samples), "query": inputs(case.query)}
    concepts = {"bright": bright, "noise": elsewhere}
    found = tcav(case, concepts, {"bright": others, "noise": others}, ["first"], sets)
    scores = found["first", "bright"]
    assert scores.shares["members"].tolist() == [1, 1, 1] and scores.shares["query"].tolist() == [1, 1, 1]
    assert scores.accuracy.min() == 1 and found["first", "noise"].accuracy.mean() < 0.9
    assert scores.chance.shape == (3,)
    darker = tcav(case, {"dark": dark}, {"dark": [bright, bright + 0.01, bright + 0.02]}, ["first"], sets)
    assert darker["first", "dark"].shares["members"].tolist() == [0, 0, 0]


def test_units_that_do_not_vary_and_what_they_see():
    case = ready(Corner(8), 8)
    case.everyone = case.samples
    assert ratios(case.samples, "act").tolist() == pytest.approx([1] * 4)
    seen = torch.zeros(2, 8, 8)
    seen[:, 2:4, 2:4] = 1 + torch.rand(2, 2, 2)
    masks = {"there": torch.zeros(2, 16, 16, dtype=torch.bool), "all": torch.ones(2, 16, 16, dtype=torch.bool)}
    masks["there"][:, 4:8, 4:8] = True
    assert fitting(seen, masks)["label"] == "there"


def test_overlays_are_red_for_and_blue_against():
    found = torch.zeros(4, 4)
    found[0, 0], found[3, 3] = 1, -1
    picture = overlay(torch.rand(3, 4, 4), found)
    for place, colour in (((0, 0), FOR), ((3, 3), AGAINST)):
        pixel = picture.getpixel(place)
        assert max(pixel) == pixel[0 if colour is FOR else 2]
    assert len(set(picture.getpixel((1, 2)))) == 1  # grey where nothing is said
