"""Views of a picture: what each does, that no sample depends on its neighbours, and what is refused."""

import pytest
import torch

from equidiff_cli.parts.distances import SquaredL2
from equidiff_cli.parts.filters import Gaussian
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.parts.raising import Raise
from equidiff_cli.parts.robust import Joined, Nothing, Views
from equidiff_cli.parts.together import Together
from equidiff_cli.pictures.perturb import jpeg

OFF = dict(shift=0.0, mirror=False, noise=0.0, contrast=1.0, jpeg=None)


def pictures(count, size=16, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def views(**options):
    return Views(**OFF | options)


def test_a_shift_by_whole_pixels_moves_pixels():
    x = pictures(2)
    right, back = views(shift=2 / 16)(x).chunk(2)
    torch.testing.assert_close(right[..., 2:], x[..., :-2])
    torch.testing.assert_close(right[..., :2], x[..., :1].expand(-1, -1, -1, 2))  # the edge is repeated
    torch.testing.assert_close(back[..., :-2, :-2], x[..., 2:, 2:])


def test_a_shift_by_half_a_pixel_is_the_mean_of_two():
    x = pictures(1)
    right = views(shift=0.5 / 16)(x)[:1]
    torch.testing.assert_close(right[..., 1:], (x[..., 1:] + x[..., :-1]) / 2)


def test_the_other_views():
    x = pictures(3)
    torch.testing.assert_close(views(mirror=True)(x), x.flip(-1))
    torch.testing.assert_close(views(contrast=0.5)(x), 0.25 + x / 2)
    torch.testing.assert_close(views(jpeg=50)(x), jpeg(x, 50))
    added = views(noise=0.1)(x) - x
    torch.testing.assert_close(added, added[:1].expand_as(added))
    assert 0.08 < added[0].std() < 0.12


def test_the_gradient_passes_through_every_view():
    x = pictures(1).requires_grad_()
    made = views(shift=0.03, mirror=True, noise=0.1, contrast=0.8, jpeg=75)(x)
    assert len(made) == 6
    for view in made:
        (grad,) = torch.autograd.grad(view.sum(), x, retain_graph=True)
        assert grad.abs().sum() > 0
    (grad,) = torch.autograd.grad(made[-1].sum(), x)
    torch.testing.assert_close(grad, torch.ones_like(x))  # of JPEG: as if nothing had been done


def question(lowpass):
    return Invariance(lambda x: x.flatten(1)[:, [0, 100]], SquaredL2(), lowpass, pictures(1, seed=7))


def test_the_second_loss_is_the_mean_over_all_views():
    x, filters = pictures(3), Gaussian((0.2, 0.6))
    asked = question(Joined(filters, views(mirror=True)))
    unfiltered, filtered, values, of_views = asked(x)
    assert of_views.shape == (3, 6)
    single = [question(lowpass)(x) for lowpass in (Gaussian(0.2), Gaussian(0.6), views(mirror=True))]
    torch.testing.assert_close(filtered, sum(one[1] for one in single) / 3)
    torch.testing.assert_close(of_views, torch.cat([one[3] for one in single], 1))
    residuals = asked.residuals(values, of_views)
    assert residuals.shape == (3, 3)  # two values, and what the views share
    torch.testing.assert_close(residuals.square().sum(1), unfiltered + filtered)
    for i in range(3):  # alone as among others
        torch.testing.assert_close(asked(x[i : i + 1])[1], filtered[i : i + 1])


def test_one_filter_is_as_without_views():
    x = pictures(2)
    for lowpass in (Gaussian(0.3), Gaussian((0.3,)), Joined(Gaussian(0.3), Nothing())):
        torch.testing.assert_close(question(lowpass)(x), question(Gaussian(0.3))(x))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(), "robust=views: changes nothing"),
        (dict(shift=0.6), "robust.shift=0.6: must be a number at least 0 and at most 0.5"),
        (dict(noise=-1), "robust.noise=-1: must be a number at least 0"),
        (dict(contrast=0), "robust.contrast=0: must be a number above 0"),
        (dict(jpeg=0), "robust.jpeg=0: must be a whole number at least 1 and at most 95"),
        (dict(mirror=1), "robust.mirror=1: must be true or false"),
    ],
    ids=str,
)
def test_what_is_no_view_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        views(**options)


def test_points_have_no_views():
    with pytest.raises(ValueError, match="robust=views: needs pictures"):
        views(mirror=True)(torch.zeros(1, 2, 1, 1))


def test_other_questions_take_views_too():
    x, lowpass = pictures(2), Joined(Gaussian(0.3), views(mirror=True))
    objective = lambda x: x.flatten(1)[:, [0, 100]]  # noqa: E731
    raised = Raise(objective, SquaredL2(), lowpass, pictures(1, seed=7), stride=1.0)
    single = [Raise(objective, SquaredL2(), one, pictures(1, seed=7), stride=1.0)(x)[1] for one in lowpass.parts]
    torch.testing.assert_close(raised(x)[1], sum(single) / 2)
    terms = [question(lowpass), raised]
    both = Together(
        terms, [1.0, 2.0], [{"objective": "two pixels", "target": "it"}] * 2, lambda x: torch.cat([objective(x)] * 2, 1)
    )
    _, _, values, filtered = both(x)
    expected = [terms[0].residuals(*terms[0](x)[2:]), 2**0.5 * raised.residuals(*raised(x)[2:])]
    torch.testing.assert_close(both.residuals(values, filtered), torch.cat(expected, 1))
