"""The shipped networks for points: the prior draws the rings, the perceptron tells them apart, gradients are right."""

import numpy as np
import pytest
import torch

from equidiff_cli.circles import build, rings
from equidiff_cli.circles.plane import from_plane, to_plane
from equidiff_cli.target.adopt import adopt
from equidiff_cli.target.small import embedded


def prior_of(**options):
    settings = dict(image_size=1, solver="euler", steps=40, shift=1.0)
    return build.Circles(**settings | options).build(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def prior():
    return prior_of()


def test_shapes_and_records(prior):
    assert prior.latent_shape == (2, 1, 1) and prior.evaluations == 40
    assert prior.name == "circles" and list(prior.weights) == ["circles_flow.safetensors"]
    with pytest.raises(ValueError, match=r"prior\.image_size=32: use one of 1"):
        prior_of(image_size=32)


def test_unguided_points_are_distributed_as_the_data(prior):
    points = to_plane(prior.unguided(1000, 1000)).numpy()
    fresh, _ = rings.draw(20_000, np.random.default_rng(11))
    radius, wanted = (np.sort(np.linalg.norm(p, axis=1)) for p in (points, fresh))
    at = np.linspace(0, 2, 400)
    gap = np.abs(np.searchsorted(radius, at) / len(radius) - np.searchsorted(wanted, at) / len(wanted)).max()
    assert gap < 0.07, "Kolmogorov-Smirnov distance of the radius"
    angle = np.arctan2(*points.T) / (2 * np.pi) % 1
    assert np.abs(np.sort(angle) - np.linspace(0, 1, len(angle))).max() < 0.07, "and of the angle"


def test_the_gradient_through_the_flow_agrees_with_differences(prior):
    z = torch.tensor([[0.4, -0.9], [1.2, 0.3]])[:, :, None, None].requires_grad_()
    weight = torch.tensor([0.3, -1.0])[None, :, None, None]
    (gradient,) = torch.autograd.grad((prior.decode(prior.flow(z)) * weight).sum(), z)
    step = 1e-2
    for channel in (0, 1):
        move = torch.zeros(1, 2, 1, 1)
        move[:, channel] = step
        with torch.no_grad():
            ahead, behind = ((prior.decode(prior.flow(z + s * move)) * weight).sum((1, 2, 3)) for s in (1, -1))
        assert torch.allclose(gradient[:, channel, 0, 0], (ahead - behind) / (2 * step), rtol=0.05, atol=2e-3)


def test_the_perceptron_is_nearly_as_good_as_can_be():
    points, labels = rings.draw(20_000, np.random.default_rng(12))
    logits = build.CirclesTarget().build()(from_plane(torch.from_numpy(points).float()))
    right = (logits.argmax(1).numpy() == labels).mean()
    best = ((rings.log_odds(points) < 0) == labels).mean()
    assert best - 0.005 < right <= best + 0.001
    margin = (logits[:, 0] - logits[:, 1]).numpy()
    assert np.corrcoef(margin, rings.log_odds(points))[0, 1] > 0.97


def test_classes_and_medium():
    target = build.CirclesTarget().build()
    assert target.class_index("objective.label", "outside") == 1
    assert build.Circles.medium.channels == target.channels == 2


@pytest.mark.parametrize(("made", "channels"), [(build.CirclesTarget().build, 3), (lambda: embedded("smallconv"), 2)])
def test_a_target_for_another_medium_is_refused(made, channels):
    target = made()
    with pytest.raises(ValueError, match=f"target={target.name}: takes {5 - channels} channels.*makes {channels}"):
        adopt(target, torch.rand(1, channels, 1, 1))
