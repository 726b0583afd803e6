"""The sampler against the published one: values, gradients, guidance, grid; and memory that does not grow."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torchdiffeq import odeint

from equidiff_cli.prior import sampler
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.sampler import Adjoint

DATA = Path(__file__).parents[1] / "data"
CASES = sorted(path.stem for path in DATA.glob("lightningdit_*.safetensors"))


def test_reference_cases_are_there():
    assert CASES == ["lightningdit_patch2_qknorm", "lightningdit_small"]


class Case:
    """One reference file: the network with its weights, and the numbers of the published code."""

    def __init__(self, name):
        self.file = safe_open(DATA / f"{name}.safetensors", "pt")
        facts = self.file.metadata()
        self.network = LightningDiT(**json.loads(facts["config"])).requires_grad_(False)
        weights = {
            k.removeprefix("model."): self.file.get_tensor(k) for k in self.file.keys() if k.startswith("model.")
        }
        self.network.load_state_dict(weights)
        self.steps, self.shift = int(facts["steps_grid_points"]) - 1, float(facts["timestep_shift"])
        self.cfg_scale, self.cfg_start = float(facts["cfg_scale"]), float(facts["cfg_interval_start"])

    def __getitem__(self, name):
        return self.file.get_tensor(name)

    def velocity(self, times, y):
        conditions = [self.network.condition(t.expand(len(y)), y) for t in times]
        return lambda z, i: self.network.velocity(z, conditions[i])

    def null(self, times):
        return self.velocity(times, torch.full((len(self["z"]),), self.network.num_classes))


@pytest.fixture(params=CASES)
def case(request):
    return Case(request.param)


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("shifted", [True, False])
def test_unguided_samples_equal_the_published_ones(case, shifted):
    times = sampler.time_grid(case.steps, case.shift if shifted else 1.0)
    z = sampler.integrate(sampler.euler, case.null(times), case["z"], times)
    assert relative(z, case["sample_uncond" if shifted else "sample_uncond_noshift"]) < 1e-5


@pytest.mark.parametrize("recompute", [None, 0, 2])
def test_gradient_through_the_whole_loop_equals_the_published_one(case, recompute):
    times = sampler.time_grid(case.steps, case.shift)
    start = case["z"].requires_grad_()
    z = sampler.integrate(sampler.euler, case.null(times), start, times, Adjoint(recompute=recompute))
    grad = torch.autograd.grad((z * case["sample_probe"]).sum(), start)[0]
    assert relative(grad, case["grad_z"]) < 1e-4


@pytest.mark.parametrize("recompute", [None, 0, 1])
def test_a_truncated_gradient_is_that_of_the_last_steps_and_changes_no_sample(case, recompute):
    times = sampler.time_grid(case.steps, case.shift)
    velocity, start = case.null(times), case["z"].requires_grad_()
    z = sampler.integrate(sampler.euler, velocity, start, times, Adjoint(2, recompute))
    assert torch.equal(z, sampler.integrate(sampler.euler, velocity, start, times))
    grad = torch.autograd.grad((z * case["sample_probe"]).sum(), start)[0]
    middle = case["z"]
    for i in range(case.steps - 2):
        middle = middle + times.diff()[i] * velocity(middle, i)
    middle = middle.detach().requires_grad_()
    for i in range(case.steps - 2, case.steps):
        z = z if i > case.steps - 2 else middle
        z = z + times.diff()[i] * velocity(z, i)
    assert relative(grad, torch.autograd.grad((z * case["sample_probe"]).sum(), middle)[0]) < 1e-5


@pytest.mark.parametrize(("recompute", "again"), [(None, 4), (4, 4), (3, 3), (0, 0)])
@pytest.mark.parametrize("gradient_steps", [4, None])
def test_as_many_steps_are_computed_again_as_asked(recompute, again, gradient_steps):
    times, calls = sampler.time_grid(4 if gradient_steps is None else 6, 0.3), []

    def velocity(z, i):
        calls.append(i)
        return z.sin()

    start = torch.ones(2, 1, 1, 1, requires_grad=True)
    z = sampler.integrate(sampler.euler, velocity, start, times, Adjoint(gradient_steps, recompute))
    forward = len(calls)
    torch.autograd.grad(z.sum(), start)
    first = len(times) - 1 - 4
    assert forward == len(times) - 1
    assert sorted(calls[forward:]) == list(range(first, first + again)), "the first of those that have a gradient"


def test_guided_samples_equal_the_published_ones(case):
    times = sampler.time_grid(case.steps, case.shift)
    conditional = case.velocity(times, case["cfg_labels"])
    velocity = sampler.guided(conditional, case.null(times), times, case.cfg_scale, case.cfg_start)
    assert relative(sampler.integrate(sampler.euler, velocity, case["z"], times), case["sample_cfg"]) < 1e-5


def test_guidance_leaves_the_other_channels_conditional(case):
    times = sampler.time_grid(case.steps, case.shift)
    conditional = case.velocity(times, case["cfg_labels"])
    velocity = sampler.guided(conditional, case.null(times), times, case.cfg_scale, 0.0)
    guided, plain = velocity(case["z"], 2), conditional(case["z"], 2)
    assert torch.equal(guided[:, 3:], plain[:, 3:])
    assert not torch.allclose(guided[:, :3], plain[:, :3])


def test_guidance_begins_at_its_start_and_not_before(case):
    times = sampler.time_grid(case.steps, case.shift)
    conditional = case.velocity(times, case["cfg_labels"])
    velocity = sampler.guided(conditional, case.null(times), times, case.cfg_scale, times[2])
    assert torch.equal(velocity(case["z"], 1), conditional(case["z"], 1))
    assert not torch.allclose(velocity(case["z"], 2), conditional(case["z"], 2))


def test_euler_is_torchdiffeqs_bit_for_bit(case):
    times = sampler.time_grid(case.steps, case.shift)
    y = torch.full((len(case["z"]),), case.network.num_classes)
    theirs = odeint(lambda t, z: case.network(z, t.expand(len(z)), y), case["z"], times, method="euler")[-1]
    assert torch.equal(sampler.integrate(sampler.euler, case.null(times), case["z"], times), theirs)


@pytest.mark.parametrize(("step", "order"), [(sampler.euler, 1), (sampler.heun, 2)])
def test_order_of_convergence(step, order):
    """On dz/dt = z cos t the error falls with the step to the power of the order."""

    def error(steps):
        times = sampler.time_grid(steps, 1.0)
        z = sampler.integrate(step, lambda z, i: z * times[i].double().cos(), torch.ones(1, dtype=torch.float64), times)
        return abs(z.item() - torch.tensor(1.0).double().sin().exp().item())

    assert error(20) / error(40) == pytest.approx(2**order, rel=0.15)


def test_grid_ends_at_noise_and_data_and_bends_towards_the_noise():
    grid = sampler.time_grid(10, 0.3)
    assert grid[0] == 0 and grid[-1] == 1 and (grid.diff() > 0).all()
    assert (grid.diff().diff() > 0).all()
    assert torch.equal(sampler.time_grid(10, 1.0), torch.linspace(0, 1, 11))


def test_only_latents_are_kept_per_step(case):
    """What autograd saves outside the recomputed steps is one latent a step, however large the network."""

    def saved_numbers(steps):
        times = sampler.time_grid(steps, case.shift)
        velocity, kept = case.null(times), []
        pack = lambda t: kept.append(t.numel()) or t  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            sampler.integrate(sampler.euler, velocity, case["z"].requires_grad_(), times)
        return sum(kept)

    latent = case["z"].numel()
    assert (saved_numbers(8) - saved_numbers(4)) / 4 <= 2 * latent
