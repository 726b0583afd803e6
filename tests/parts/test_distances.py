"""The distances against written-out formulas, finite differences and wrong inputs."""

import math
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from equidiff_cli.parts.distances import KL, Cosine, Huber, SquaredL2

DISTANCES = [SquaredL2(), Huber(0.7), Cosine(), KL()]
OPTIONS = sorted((Path(__file__).parents[2] / "configs/distance").glob("*.yaml"))
by_name = pytest.mark.parametrize("distance", DISTANCES, ids=lambda d: type(d).__name__)


def probabilities(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(len(shape))).softmax(dim=-1)


def test_squared_l2_sums_over_values():
    values = torch.tensor([[1.0, 2.0], [4.0, -1.0], [0.0, 0.0]])
    assert SquaredL2()(values, torch.tensor([1.0, -1.0])).tolist() == [9.0, 9.0, 2.0]


def test_huber_is_quadratic_then_linear():
    values = torch.tensor([[0.5, 0.0], [3.0, -4.0]])
    expected = [0.5 * 0.25, 2 * (3 - 1) + 2 * (4 - 1)]  # delta 2: delta (|d| - delta / 2)
    assert Huber(2.0)(values, torch.zeros(2)).tolist() == expected


def test_cosine_of_known_angles():
    angles = torch.tensor([0.0, 60.0, 90.0, 180.0]).deg2rad()
    values = 3 * torch.stack([angles.cos(), angles.sin()], dim=1)
    torch.testing.assert_close(Cosine()(values, torch.tensor([5.0, 0.0])), torch.tensor([0.0, 0.5, 1.0, 2.0]))


def test_cosine_agrees_with_torch_and_keeps_small_angles():
    values = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = 1 - torch.cosine_similarity(values, target[None])
    torch.testing.assert_close(Cosine()(values, target), expected)
    near = Cosine()(torch.tensor([[1.0, 1e-4]]), torch.tensor([1.0, 0.0]))  # 1 - cos rounds to 0 in float32
    torch.testing.assert_close(near, torch.tensor([0.5e-8]), rtol=1e-3, atol=0)


def test_cosine_at_a_row_of_zeros_is_finite():
    values = torch.zeros(1, 3, requires_grad=True)
    distance = Cosine()(values, torch.tensor([1.0, 2.0, 2.0]))
    distance.sum().backward()
    assert distance.item() == pytest.approx(0.5)
    assert values.grad.norm() == pytest.approx(1.0)


def test_kl_agrees_with_the_formula_and_its_direction():
    target, values = torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)  # KL(target || values), not the reverse
    torch.testing.assert_close(KL()(values, target), torch.tensor([expected, 0.0]))


def test_kl_with_zeros_is_finite():
    values = torch.tensor([[0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    distance = KL()(values, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(distance, torch.tensor([12 * math.log(10), 0.0]))
    distance.sum().backward()
    assert values.grad.isfinite().all()


@by_name
def test_zero_at_the_target_and_positive_elsewhere(distance):
    target = probabilities(4)
    values = torch.stack([target, target.flip(0), target.roll(1)])
    distances = distance(values, target)
    assert distances.shape == (3,)
    assert distances[0].abs() < 1e-12
    assert (distances[1:] > 1e-3).all()


@by_name
def test_gradient_agrees_with_finite_differences(distance):
    values = probabilities(3, 4).requires_grad_()
    target = probabilities(4)
    assert torch.autograd.gradcheck(distance, (values, target), eps=1e-6)


@by_name
def test_it_is_the_sum_of_the_squares_of_its_residuals(distance):
    values, target = probabilities(6, 4), probabilities(4)
    values = torch.cat([values, target + (values - target) * 1e-3, target[None]])
    residuals = distance.residuals(values, target)
    torch.testing.assert_close(residuals.square().sum(1), distance(values, target), rtol=1e-5, atol=1e-10)
    assert residuals.shape == values.shape and residuals[-1].abs().max() < 1e-9


@by_name
def test_residuals_have_a_slope_at_the_target_too(distance):
    target = probabilities(4)
    values = torch.cat([target[None], target[None] + 1e-7, probabilities(2, 4)]).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: distance.residuals(v, target), values, eps=1e-7, atol=1e-5)
    slope = torch.func.jacrev(lambda v: distance.residuals(v[None], target)[0])(target)
    assert slope.isfinite().all() and slope.abs().amax(1).min() > 0.1, "each residual answers to its value"


def test_residuals_of_kl_are_smooth_where_one_formula_takes_over_from_the_other():
    target = torch.tensor([0.25, 0.75], dtype=torch.float64)
    values = target + target[0] * torch.tensor([[1.0, -1.0]]) * torch.tensor([[0.00999], [0.01001]]).double()
    first, second = KL().residuals(values, target)
    torch.testing.assert_close(second / first, torch.tensor([1001 / 999] * 2).double(), rtol=1e-4, atol=0)


@by_name
def test_a_sample_does_not_depend_on_its_neighbours(distance):
    values, target = probabilities(5, 4, dtype=torch.float32), probabilities(4, dtype=torch.float32)
    together = distance(values, target)
    apart = torch.cat([distance(row[None], target) for row in values])
    torch.testing.assert_close(together, apart)
    spoiled = values.clone()
    spoiled[2] = math.nan
    distances = distance(spoiled, target)
    assert distances[2].isnan()
    torch.testing.assert_close(distances[[0, 1, 3, 4]], together[[0, 1, 3, 4]])


@pytest.mark.parametrize("delta", [0, -1.0, float("inf"), "wide", None])
def test_wrong_delta(delta):
    with pytest.raises(ValueError) as error:
        Huber(delta)
    assert str(error.value) == f"distance.delta={delta}: must be a number above 0"


def test_cosine_needs_two_values_and_a_direction():
    with pytest.raises(ValueError) as error:
        Cosine()(torch.ones(4, 1), torch.ones(1))
    assert str(error.value) == "distance=cosine: needs at least 2 values, the objective gives 1"
    with pytest.raises(ValueError) as error:
        Cosine()(torch.ones(4, 2), torch.zeros(2))
    assert str(error.value) == "distance=cosine: needs a direction, but every value of the target is 0"


@pytest.mark.parametrize(
    "values, target",
    [
        ([[0.5, 0.502]], [0.5, 0.5]),
        ([[0.5, 0.5], [1.2, -0.2]], [0.5, 0.5]),
        ([[0.5, 0.5]], [3.0, -2.0]),
        ([[0.5, 0.5]], [0.5, 0.4]),
    ],
    ids=["sum", "negative", "negative-target", "sum-target"],
)
def test_kl_needs_probabilities(values, target):
    with pytest.raises(ValueError) as error:
        KL()(torch.tensor(values), torch.tensor(target))
    wanted = "probabilities (at least 0, sum 1), such as those of objective=probability objective.label=all"
    assert str(error.value) == f"distance=kl: needs {wanted}"


def test_kl_allows_rounding():
    assert KL()(torch.tensor([[0.5, 0.5009]]), torch.tensor([0.5, 0.5])).isfinite().all()


@pytest.mark.parametrize("path", OPTIONS, ids=lambda p: p.stem)
def test_every_option_builds_and_says_what_it_is(path):
    distance = instantiate(OmegaConf.load(path))
    assert distance(probabilities(2, 3), probabilities(3)).shape == (2,)
    assert path.read_text().startswith("# ")


def test_the_options_are_these():
    assert [path.stem for path in OPTIONS] == ["cosine", "huber", "kl", "l2"]
