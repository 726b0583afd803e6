"""The per-sample optimisers against torch's and pytorch_optimizer's, and their independence of the batch."""

import math
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from equidiff_cli.parts.newton import Linear
from equidiff_cli.parts.optimizers import SGD, Adam, Shampoo

OPTIONS = sorted((Path(__file__).parents[2] / "configs/optimizer").glob("*.yaml"))
OPTIMIZERS = {
    "sgd": SGD(0.1, 0.0, False),
    "sgd-momentum": SGD(0.1, 0.9, False),
    "sgd-normalized": SGD(0.1, 0.5, True),
    "adam": Adam(0.05, (0.9, 0.999), 1e-8),
    "shampoo": Shampoo(0.5, 0.0, 1e-6),
    "shampoo-momentum": Shampoo(0.1, 0.9, 1e-6),
    "shampoo-sphere": Shampoo(0.1, 0.9, 1e-6, "sphere"),
    "adam-white": Adam(0.05, (0.9, 0.999), 1e-8, "white"),
}
by_name = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
SHAPE = (4, 3, 5)  # C, H, W


def latents(n, seed=0, shape=SHAPE):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def gradient(z):
    """Of sum_i a_i (z_i^2 / 2 + log cosh z_i): convex, curved differently in every component."""
    return torch.linspace(0.1, 2.0, z[0].numel()).view(z.shape[1:]) * (z + z.tanh())


def height(z):
    """What `gradient` is the gradient of: (N,)."""
    return (torch.linspace(0.1, 2.0, z[0].numel()).view(z.shape[1:]) * (z.square() / 2 + z.cosh().log())).sum((1, 2, 3))


def descend(optimizer, z, steps, state=None):
    state = optimizer.init(z) if state is None else state
    for _ in range(steps):
        z, state = optimizer.step(z, gradient(z), state)
    return z, state


def descend_torch(make, z, steps):
    """The same descent by an optimiser with torch's interface on one parameter."""
    parameter = torch.nn.Parameter(z.clone())
    reference = make([parameter])
    for _ in range(steps):
        parameter.grad = gradient(parameter.detach())
        reference.step()
    return parameter.detach()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_that_of_torch(momentum):
    z = latents(3)
    expected = descend_torch(lambda p: torch.optim.SGD(p, lr=0.02, momentum=momentum), z, 10)
    torch.testing.assert_close(descend(SGD(0.02, momentum, False), z, 10)[0], expected)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5), (0.5, 0.9)])
def test_adam_is_that_of_torch(betas):
    z = latents(3)
    expected = descend_torch(lambda p: torch.optim.Adam(p, lr=0.05, betas=betas, eps=1e-8), z, 20)
    torch.testing.assert_close(descend(Adam(0.05, betas, 1e-8), z, 20)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [SHAPE, (32, 16, 16)])
@pytest.mark.parametrize("epsilon", [1e-6, 1e-2])
def test_shampoo_on_one_sample_is_that_of_pytorch_optimizer(shape, epsilon):
    from pytorch_optimizer import Shampoo as Reference

    z = latents(2, shape=shape)
    ours = descend(Shampoo(0.5, 0.0, epsilon), z, 6)[0]
    for sample, start in zip(ours, z, strict=True):
        # A parameter of shape (C, H, W): with a batch dimension it would mix samples and take the power -1/8.
        parameter = torch.nn.Parameter(start.clone())
        reference = Reference([parameter], lr=0.5, momentum=0.0, matrix_eps=epsilon)
        for _ in range(6):
            parameter.grad = gradient(parameter.detach()[None])[0].clone()
            reference.step()
        torch.testing.assert_close(sample, parameter.detach(), rtol=1e-4, atol=1e-4)
        assert (sample - start).abs().max() > 0.05


def test_shampoo_step_is_the_written_out_formula():
    z, grad = latents(1).double(), latents(1, seed=1).double()
    factors = []
    for mode in range(3):
        unfolded = grad[0].movedim(mode, 0).flatten(1)
        eigenvalues, vectors = torch.linalg.eigh(0.01 * torch.eye(SHAPE[mode]).double() + unfolded @ unfolded.T)
        factors.append(vectors @ torch.diag(eigenvalues ** (-1 / 6)) @ vectors.T)
    expected = z - 0.5 * torch.einsum("chw,ac,bh,dw->abd", grad[0], *factors)
    optimizer = Shampoo(0.5, 0.0, 0.01)
    torch.testing.assert_close(optimizer.step(z, grad, optimizer.init(z))[0], expected)


def test_shampoo_momentum_is_a_heavy_ball_on_the_preconditioned_gradient():
    z, grads = latents(1), [latents(1, seed=seed) for seed in (1, 2)]
    plain, heavy = Shampoo(1.0, 0.0, 1e-4), Shampoo(1.0, 0.9, 1e-4)
    plain_state, heavy_state, directions, now = plain.init(z), heavy.init(z), [], z
    for grad in grads:
        moved, plain_state = plain.step(z, grad, plain_state)
        directions.append(z - moved)
        now, heavy_state = heavy.step(now, grad, heavy_state)
    torch.testing.assert_close(now, z - directions[0] - (0.9 * directions[0] + directions[1]), rtol=1e-4, atol=1e-5)


def test_shampoo_scales_a_rank_one_gradient_to_length_lr():
    z = latents(4, shape=(32, 16, 16))
    sides = [torch.randn(4, d, generator=torch.Generator().manual_seed(d)) for d in (32, 16, 8)]
    grad = torch.einsum("nc,nh,nw->nchw", sides[0], sides[1], sides[2].repeat(1, 2))
    optimizer = Shampoo(0.5, 0.0, 1e-6)  # the null eigenvalues come out of float32 as negative: the floor must hold
    moved = z - optimizer.step(z, grad, optimizer.init(z))[0]
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), torch.full((4,), 0.5), rtol=0.02, atol=0)


def test_shampoo_does_not_feel_the_scale_of_the_loss():
    z, grad = latents(2), latents(2, seed=1)
    optimizer = Shampoo(0.5, 0.0, 1e-6)
    one = optimizer.step(z, grad, optimizer.init(z))[0]
    scaled = optimizer.step(z, 100 * grad, optimizer.init(z))[0]
    torch.testing.assert_close(one, scaled, rtol=1e-4, atol=1e-4)


def test_normalized_sgd_steps_by_lr_whatever_the_gradient():
    z = latents(3)
    scales = torch.tensor([1e-6, 1.0, 1e6])[:, None, None, None]
    optimizer = SGD(0.1, 0.0, True)
    moved = z - optimizer.step(z, scales * latents(3, seed=1), optimizer.init(z))[0]
    torch.testing.assert_close(moved.square().mean(dim=(1, 2, 3)).sqrt(), torch.full((3,), 0.1), rtol=1e-4, atol=0)


@by_name
def test_zero_gradient_leaves_z(optimizer):
    z = latents(2)
    moved, state = optimizer.step(z, torch.zeros_like(z), optimizer.init(z))
    torch.testing.assert_close(moved, z, rtol=1e-5, atol=1e-5 if optimizer.keep.init(z) else 0)
    assert all(tensor.isfinite().all() for tensor in state.values())


@by_name
def test_it_descends(optimizer):
    z = latents(3)
    end = descend(optimizer, z, 15)[0]
    assert (height(end) < (0.98 if optimizer.keep.init(z) else 0.7) * height(z)).all()


@by_name
def test_batch_is_its_samples(optimizer):
    z = latents(5)
    together = descend(optimizer, z, 8)[0]
    apart = torch.cat([descend(optimizer, one[None], 8)[0] for one in z])
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)


@by_name
def test_slots_can_be_dropped_and_refilled(optimizer):
    z, fresh = latents(4), latents(2, seed=9)
    keep = torch.tensor([3, 1])
    middle, state = descend(optimizer, z, 4)
    assert all(len(tensor) == 4 for tensor in state.values())
    new = optimizer.init(fresh)
    refilled = {key: torch.cat([state[key].index_select(0, keep), new[key]]) for key in state}
    end = descend(optimizer, torch.cat([middle[keep], fresh]), 5, refilled)[0]
    torch.testing.assert_close(end[:2], descend(optimizer, z, 9)[0][keep], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(end[2:], descend(optimizer, fresh, 5)[0], rtol=1e-5, atol=1e-5)


@by_name
def test_step_is_pure(optimizer):
    z, state = descend(optimizer, latents(2), 2)
    z.requires_grad_()
    grad = gradient(z.detach())
    before = [tensor.detach().clone() for tensor in (z, grad, *state.values())]
    first, first_state = optimizer.step(z, grad, state)
    assert not first.requires_grad and not any(tensor.requires_grad for tensor in first_state.values())
    assert all(torch.equal(a, b) for a, b in zip(before, (z, grad, *state.values()), strict=True))
    second, second_state = optimizer.step(z, grad, state)
    assert torch.equal(first, second)
    assert first_state.keys() == state.keys()
    assert all(torch.equal(first_state[key], second_state[key]) for key in state)
    old = {tensor.data_ptr() for tensor in (z, grad)}
    assert not old & {tensor.data_ptr() for tensor in (first, *first_state.values())}


@by_name
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_a_broken_gradient_stays_with_its_sample(optimizer, bad):
    z, grad = latents(3), latents(3, seed=1)
    healthy = optimizer.step(z, grad, optimizer.init(z))[0]
    grad[1, 0, 0, 0] = bad
    moved = optimizer.step(z, grad, optimizer.init(z))[0]
    torch.testing.assert_close(moved[[0, 2]], healthy[[0, 2]], rtol=1e-5, atol=1e-5)
    if not math.isfinite(bad):
        assert not moved[1].isfinite().all()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SGD(0, 0.0, False), "optimizer.lr=0: must be a number above 0"),
        (lambda: Adam(-1.0, (0.9, 0.999), 1e-8), "optimizer.lr=-1.0: must be a number above 0"),
        (lambda: Shampoo("fast", 0.0, 1e-6), "optimizer.lr=fast: must be a number above 0"),
        (lambda: SGD(1.0, 1.0, False), "optimizer.momentum=1.0: must be a number at least 0 and below 1"),
        (lambda: Shampoo(1.0, -0.1, 1e-6), "optimizer.momentum=-0.1: must be a number at least 0 and below 1"),
        (lambda: SGD(1.0, math.nan, False), "optimizer.momentum=nan: must be a number at least 0 and below 1"),
        (lambda: SGD(1.0, None, False), "optimizer.momentum=None: must be a number at least 0 and below 1"),
        (lambda: SGD(1.0, 0.0, "yes"), "optimizer.normalize=yes: must be true or false"),
        (lambda: Shampoo(1.0, 0.0, 0.0), "optimizer.epsilon=0.0: must be a number above 0"),
        (lambda: Adam(0.1, (0.9, 0.999), 0), "optimizer.epsilon=0: must be a number above 0"),
        (lambda: Adam(0.1, (0.9, 1.0), 1e-8), "optimizer.betas=1.0: must be a number at least 0 and below 1"),
        (lambda: Adam(0.1, [0.9], 1e-8), "optimizer.betas=[0.9]: must be two numbers at least 0 and below 1"),
        (lambda: Adam(0.1, 0.9, 1e-8), "optimizer.betas=0.9: must be two numbers at least 0 and below 1"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize("path", OPTIONS, ids=lambda p: p.stem)
def test_every_option_builds_and_says_what_it_is(path):
    optimizer = instantiate(OmegaConf.load(path))
    z, slope = latents(2), gradient(latents(2))
    if hasattr(optimizer, "rows"):
        slope = Linear(optimizer.rows(torch.ones(2, 1)), slope[:, None])
    assert optimizer.step(z, slope, optimizer.init(z))[0].shape == z.shape
    assert path.read_text().startswith("# ")


def test_the_options_are_these():
    assert [path.stem for path in OPTIONS] == ["adam", "gauss_newton", "polyak", "sgd", "shampoo"]
