"""Questions for other values: the target in closed form, what a run needs to go on, heights and strides."""

import json
from functools import partial

import pytest
import torch

from equidiff_cli.parts.distances import Cosine, SquaredL2
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.parts.raising import Lower, Raise
from equidiff_cli.parts.reaching import Decision, Reach
from equidiff_cli.parts.together import Together
from equidiff_cli.parts.wrapped import Apart, Evidence, OfEvidence, Within

GENERATOR = torch.Generator().manual_seed(0)
QUERY = torch.rand(1, 3, 4, 4, generator=GENERATOR)
PICTURES = torch.rand(32, 3, 4, 4, generator=GENERATOR)
X = torch.rand(5, 3, 4, 4, generator=GENERATOR)


def colours(x):
    """Two values: the means of red and of green."""
    return x.mean((2, 3))[:, :2]


def red(x):
    return colours(x)[:, :1]


def halved(x):
    return x / 2


def reach(**one):
    return Reach(colours, SquaredL2(), halved, QUERY, **({"value": None, "change": None, "percentile": None} | one))


def test_a_change_is_counted_in_null_spreads_from_the_query():
    question = reach(change=-2.0)
    spread = question.spread(PICTURES, 5)
    values = colours(PICTURES)
    expected = colours(QUERY)[0] - 2 * (values - values.mean(0)).square().mean(0).sqrt()
    torch.testing.assert_close(question.target, expected)
    assert spread == pytest.approx((values - values.mean(0)).square().sum(1).mean().item())


def test_a_percentile_is_that_of_unguided_samples():
    question = reach(percentile=25)
    question.spread(PICTURES, 32)
    below = (colours(PICTURES) <= question.target).float().mean(0)
    assert below.tolist() == pytest.approx([0.25, 0.25], abs=1 / 32)


def test_a_value_is_reached_where_the_loss_is_0_and_residuals_square_to_the_loss():
    question = reach(value=colours(X)[3].tolist())
    question.scale = 4.0
    first, second, values, filtered = question(X)
    assert first[3] == 0 and (first[:3] > 0).all()
    torch.testing.assert_close(question.residuals(values, filtered).square().sum(1), first + second)


def test_a_run_that_goes_on_has_the_same_target():
    question, again = reach(change=1.0), reach(change=1.0)
    question.spread(PICTURES, 32)
    again.recall(json.loads(json.dumps(question.known())))
    assert torch.equal(again.target, question.target)
    records = [{"loss": 3.0, "status": "budget", "objective": [0.25, 0.5]}]
    assert again.remarks(records) == question.remarks(records)
    assert "the nearest has [0.25, 0.5], 32 unguided samples" in question.remarks(records)[0]
    assert again.remarks([records[0] | {"status": "converged"}]) == []


@pytest.mark.parametrize(("kind", "sign"), [(Raise, 1), (Lower, -1)])
def test_heights_count_from_the_mean_of_unguided_samples_in_null_spreads(kind, sign):
    question = kind(colours, SquaredL2(), halved, QUERY, 0.5)
    question.scale = 1 / question.spread(PICTURES, 7)
    values, middle = colours(PICTURES), colours(PICTURES).mean(0)
    spread = (values - middle).square().sum(1).mean().sqrt()
    first, second, *_ = question(X)
    torch.testing.assert_close(first, -sign * (colours(X) - middle).sum(1) / spread)
    torch.testing.assert_close(second, -sign * (colours(X / 2) - middle).sum(1) / spread)
    assert question.endless and question.wanted.isnan().all()
    again = kind(colours, SquaredL2(), halved, QUERY, 0.5)
    again.recall(question.known())
    assert torch.equal(again.middle, question.middle)


def test_a_second_order_step_raises_by_the_stride():
    """The shortest step of the linear equation, for a linear objective: it raises the height by exactly `stride`."""
    question = Raise(red, SquaredL2(), lambda x: x, QUERY, 0.5)
    question.scale = 1 / question.spread(PICTURES, 32)
    x = X[:1].clone().requires_grad_()
    _, _, values, filtered = question(x)
    residual = question.residuals(values, filtered)[0, 0]
    (row,) = torch.autograd.grad(residual, x)
    step = -residual.detach() / row.square().sum() * row
    assert question.height(red(x.detach() + step)).item() == pytest.approx(
        question.height(values.detach()).item() + 0.5, abs=1e-5
    )


def test_a_decision_is_the_margin_over_the_best_other_class():
    class Net:
        classes = "abcd"

        def __call__(self, x):
            return torch.tensor([[1.0, 3.0, 2.0, -1.0], [5.0, 4.0, 4.5, 0.0]])

    assert Decision(Net(), 1)(X[:2]).tolist() == [[1.0], [-1.0]]
    assert Decision(Net(), 0)(X[:2]).tolist() == [[-2.0], [0.5]]


def test_terms_add_up_each_in_its_own_unit():
    first, second = reach(change=1.0), Raise(red, SquaredL2(), halved, QUERY, 0.5)
    names = [{"objective": "colours", "target": "a"}, {"objective": "red", "target": "b"}]
    both = Together([first, second], [1.0, 3.0], names, lambda x: torch.cat([colours(x), red(x)], 1))
    assert both.spread(PICTURES, 32) == 1 and both.endless and both.wanted.isnan().tolist() == [False, False, True]
    alone = reach(change=1.0)
    alone.scale = 1 / alone.spread(PICTURES, 32)
    higher = Raise(red, SquaredL2(), halved, QUERY, 0.5)
    higher.scale = 1 / higher.spread(PICTURES, 32)
    answer, (a, b) = both(X), (alone(X), higher(X))
    for row in (0, 1):
        torch.testing.assert_close(answer[row], a[row] + 3 * b[row])
    assert answer[2].shape == (5, 3) and both.residuals(*answer[2:]).shape == (5, 6)
    again = Together(
        [reach(change=1.0), Raise(red, SquaredL2(), halved, QUERY, 0.5)], [1.0, 3.0], names, both.objective
    )
    again.recall(json.loads(json.dumps(both.known())))
    torch.testing.assert_close(again(X)[0], answer[0])


def test_terms_of_a_distance_with_a_unit_keep_it():
    """The threshold is in that unit: cosines, not shares of what chance gives."""
    held, raised = (one(colours, Cosine(), halved, QUERY) for one in (Invariance, partial(Raise, stride=0.5)))
    both = Together([held, raised], [1.0, 2.0], [{"objective": "a", "target": "b"}] * 2, colours)
    assert both.spread(PICTURES, 32) == 1 and held.scale == 1
    assert raised.scale == pytest.approx(1 / raised.spread(PICTURES, 32))
    alone = Invariance(colours, Cosine(), halved, QUERY)
    torch.testing.assert_close(both(X)[0] - 2 * raised(X)[0], alone(X)[0])


def test_outside_of_a_region_the_query_stands_and_the_gap_counts():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    question = Within(reach(value=[0.5, 0.5]), mask, QUERY, weight=2.0)
    shown = question.shown(X)
    assert torch.equal(shown[..., :2], X[..., :2]) and torch.equal(shown[..., 2:], QUERY.expand(5, -1, -1, -1)[..., 2:])
    *losses, gap = question(X)
    torch.testing.assert_close(losses[2], colours(shown))
    torch.testing.assert_close(gap[:, 0], 2 * (X - QUERY)[..., 2:].square().mean((1, 2, 3)).sqrt())
    question.scale = 7.0
    assert question.question.scale == 7.0


def test_evidence_of_a_region_does_not_see_the_rest():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 0] = 1
    seen, other = Evidence(colours, mask, QUERY), X.clone()
    other[..., 1:] = 0.3
    torch.testing.assert_close(seen(other), seen(X))
    blurred = OfEvidence(lambda x: (x + x.roll(1, -1)) / 2, seen)  # each column with the one before
    torch.testing.assert_close(seen(blurred(other)), seen(blurred(X)))
    other[..., 0] = 0.3
    assert not torch.allclose(seen(other), seen(X))


def test_repulsion_is_the_mean_similarity_and_moves_each_sample_away():
    question = Apart(reach(value=[0.5, 0.5]), colours, weight=1.0)
    question.spread(PICTURES, 32)
    values = colours(PICTURES)
    width = (values[:, None] - values[None]).square().sum(2).sum().item() / (32 * 31)
    assert question.width == pytest.approx(width, rel=1e-5)
    x = X[:2].clone().requires_grad_()
    extra = question(x)[-1]
    similar = (-(colours(X[:1]) - colours(X[1:2])).square().sum() / width).exp()
    torch.testing.assert_close(extra.square().flatten(), similar.expand(2))
    (gradient,) = torch.autograd.grad(extra.square().sum(), x)
    apart, before = colours(X[:2] - 0.1 * gradient), colours(X[:2])
    assert (apart[0] - apart[1]).norm() > (before[0] - before[1]).norm()
    assert question(X[:1])[-1].tolist() == [[0.0]]
