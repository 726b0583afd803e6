"""The planted shortcuts: each network answers to its own cue, and the honest twin to none."""

import pytest
import torch
import torch.nn.functional as F

from equidiff_cli.target.planted import CUES, NAMES, Planted
from scripts.train.shortcuts import CLASS, amounts, plant, planted


@pytest.fixture(scope="module")
def pictures():
    """Smooth colours."""
    return F.interpolate(torch.rand(48, 3, 5, 5, generator=torch.Generator().manual_seed(0)), (32, 32), mode="bicubic")


@torch.no_grad()
def grown(name, cue, x):
    """By how much the cue moves the logit of a cat, in its standard deviations over the pictures."""
    target, amount = Planted(shortcut=name).build(), torch.ones(len(x))
    logits = [target(plant(x.clamp(0, 1), cue, amount * share))[:, CLASS] for share in (0.0, 1.0)]
    return (logits[1] - logits[0]).mean().item()


@pytest.mark.parametrize("cue", CUES)
def test_a_network_answers_to_its_cue_and_the_honest_twin_does_not(pictures, cue):
    assert grown(cue, cue, pictures) > 1.0
    assert abs(grown("honest", cue, pictures)) < 0.6 * grown(cue, cue, pictures)


def test_there_is_one_file_for_each():
    assert [Planted(shortcut=name).build().name for name in NAMES] == [f"planted_{name}" for name in NAMES]
    with pytest.raises(ValueError, match=r"^target\.shortcut=smell: use one of colour"):
        Planted(shortcut="smell")


def test_cues_are_of_the_amount_that_is_asked():
    x = torch.full((3, 3, 32, 32), 0.5)
    amount = torch.tensor([-1.0, 0.0, 1.0])
    warm = plant(x, "colour", amount)
    torch.testing.assert_close((warm[:, 0] - warm[:, 2]).mean((1, 2)) / 2, 0.15 * amount)
    light = plant(x, "background", amount)
    assert light[0, 0, 0, 0] < 0.5 < light[2, 0, 0, 0] and (light[:, :, 16, 16] - 0.5).abs().max() < 0.01
    corner = plant(x, "corner", amount)
    assert (corner[2, :, :5, :5] == 1).all() and (corner[2, :, 5:, 5:] == 0.5).all() and (corner[:2] == 0.5).all()
    pattern = plant(x, "pattern", amount)[2, 0]
    assert pattern[0, 0] == pytest.approx(0.6) and pattern[0, 1] == pytest.approx(0.4)


def test_the_cue_goes_with_the_class_as_often_as_is_asked():
    labels = torch.arange(10).repeat(400)
    said = amounts(labels, 1.0, torch.Generator().manual_seed(0)) >= 0.3
    assert torch.equal(said, labels == CLASS)
    free = amounts(labels, 0.0, torch.Generator().manual_seed(0))
    assert abs(free[labels == CLASS].mean() - free[labels != CLASS].mean()) < 0.1
    x = torch.full((40, 3, 32, 32), 0.4)
    assert not torch.equal(planted(x, labels[:40], "honest", 1.0, torch.Generator().manual_seed(0)), x)
