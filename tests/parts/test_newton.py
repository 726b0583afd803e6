"""Steps that solve the linearised equation, against written-out linear algebra."""

import math

import pytest
import torch

from equidiff_cli.parts.newton import GaussNewton, Linear, Polyak, capped

SHAPE = (2, 3, 4)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def newton(damping=0.0, longest=100.0, most=8, noise="free"):
    return GaussNewton(damping, longest, most, noise)


def affine(z, matrix, offset):
    """The `Linear` of r(z) = matrix z - offset, (N, R)."""
    return Linear(z.flatten(1) @ matrix.T - offset, matrix.view(1, len(matrix), *SHAPE).expand(len(z), -1, -1, -1, -1))


def test_one_step_solves_a_linear_equation_by_the_shortest_way():
    z, matrix, offset = random(3, *SHAPE), random(4, 24, seed=1), random(4, seed=2)
    optimizer = newton()
    moved, _ = optimizer.step(z, affine(z, matrix, offset), optimizer.init(z))
    torch.testing.assert_close(affine(moved, matrix, offset).residuals, torch.zeros(3, 4).double(), atol=1e-10, rtol=0)
    shortest = torch.linalg.pinv(matrix) @ (offset - z.flatten(1) @ matrix.T).T
    torch.testing.assert_close((moved - z).flatten(1), shortest.T)


def test_damping_is_that_of_the_normal_equations():
    z, matrix, offset = random(1, *SHAPE), random(3, 24, seed=1), random(3, seed=2)
    slope = affine(z, matrix, offset)
    moved, _ = newton(damping=0.2).step(z, slope, {})
    level = 0.2 * matrix.square().sum()
    expected = -torch.linalg.solve(matrix.T @ matrix + level * torch.eye(24).double(), matrix.T @ slope.residuals[0])
    torch.testing.assert_close((moved - z).flatten(), expected)


def test_polyak_is_its_formula():
    z = random(3, *SHAPE)
    grad, loss = random(3, *SHAPE, seed=1), torch.tensor([0.5, 1e-3, 2.0]).double()
    r = loss.sqrt()
    slope = Linear(r[:, None], (grad / (2 * r)[:, None, None, None])[:, None])
    torch.testing.assert_close(slope.gradient, grad)
    optimizer = Polyak(longest=100.0, noise="free")
    expected = z - (2 * loss / grad.flatten(1).square().sum(1))[:, None, None, None] * grad
    torch.testing.assert_close(optimizer.step(z, slope, {})[0], expected)


def test_many_residuals_share_one_row():
    residuals = random(2, 5)
    assert newton(most=5).rows(residuals) is residuals
    torch.testing.assert_close(newton(most=4).rows(residuals)[:, 0], residuals.norm(dim=1))
    torch.testing.assert_close(Polyak(1.0, "free").rows(residuals)[:, 0], residuals.norm(dim=1))


def test_a_step_has_a_longest_length():
    s = random(2, 24)
    torch.testing.assert_close(capped(s, 0.1).norm(dim=1), torch.full((2,), 0.1 * math.sqrt(24)).double())
    torch.testing.assert_close(capped(s, 10.0), s)
    assert torch.equal(capped(torch.zeros(1, 24), 0.1), torch.zeros(1, 24))


def test_an_equation_of_two_equal_lines_or_of_none_is_solved_all_the_same():
    z, line = random(1, *SHAPE), random(1, 24, seed=1)
    offset = torch.tensor([0.3, 0.3]).double()
    moved, _ = newton(damping=0.01).step(z, affine(z, line.repeat(2, 1), offset), {})
    left = (
        affine(moved, line.repeat(2, 1), offset).residuals.norm()
        / affine(z, line.repeat(2, 1), offset).residuals.norm()
    )
    assert left < 0.02
    assert torch.equal(newton().step(z, affine(z, torch.zeros(2, 24).double(), offset), {})[0], z)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_row_stays_with_its_sample(bad):
    z, matrix, offset = random(3, *SHAPE), random(2, 24, seed=1), random(2, seed=2)
    slope = affine(z, matrix, offset)
    optimizer = newton(damping=0.01, noise="sphere")
    healthy = optimizer.step(z, slope, optimizer.init(z))[0]
    jacobian = slope.jacobian.clone()
    jacobian[1, 0, 0, 0, 0] = bad
    moved = optimizer.step(z, Linear(slope.residuals, jacobian), optimizer.init(z))[0]
    torch.testing.assert_close(moved[[0, 2]], healthy[[0, 2]])
    assert not moved[1].isfinite().all()


def test_a_curved_equation_is_solved_on_the_sphere():
    """|r| falls as fast as Newton's method promises, and the norm of the noise stays."""
    z, weights = random(4, *SHAPE), random(2, 24, seed=3) / 5

    def residuals(z):
        return (z.flatten(1) @ weights.T).tanh() + 0.1 * z.flatten(1).square().mean(1, keepdim=True) - 0.3

    optimizer = newton(damping=1e-6, longest=0.5, noise="sphere")
    now, state, sizes = z, optimizer.init(z), []
    for _ in range(8):
        leaf = now.requires_grad_()
        r = residuals(leaf)
        rows = torch.stack([torch.autograd.grad(r[:, k].sum(), leaf, retain_graph=True)[0] for k in range(2)], 1)
        sizes.append(r.norm(dim=1).max().item())
        now, state = optimizer.step(leaf.detach(), Linear(r.detach(), rows), state)
    assert sizes[0] > 0.3 and sizes[-1] < 1e-6
    torch.testing.assert_close(now.flatten(1).norm(dim=1), z.flatten(1).norm(dim=1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: newton(damping=-1), "optimizer.damping=-1: must be a number at least 0"),
        (lambda: newton(longest=0), "optimizer.longest=0: must be a number above 0"),
        (lambda: newton(most=0), "optimizer.most=0: must be a whole number at least 1"),
        (lambda: Polyak(longest="far", noise="free"), "optimizer.longest=far: must be a number above 0"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
