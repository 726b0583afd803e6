"""Priors of one and few steps against the published ones: networks, samplers, gradients, names and sizes of files."""

import json
from pathlib import Path

import pytest
import torch
from helpers import layout
from safetensors import safe_open

from equidiff_cli.prior.imf import Guided, ImprovedMeanFlow
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.paths import MeanJumps, Renoising
from equidiff_cli.prior.sampler import Adjoint, euler, integrate, renoise, time_grid

DATA = Path(__file__).parents[1] / "data"


class Case:
    """One reference file: the network with its weights, and the numbers of the published code."""

    def __init__(self, name):
        self.file = safe_open(DATA / f"{name}_small.safetensors", "pt")
        self.options = json.loads(self.file.metadata()["config"])
        self.sampler = json.loads(self.file.metadata()["sampler"])
        names = [key for key in self.file.keys() if key.startswith("model.")]
        self.state = {key.removeprefix("model."): self.file.get_tensor(key) for key in names}
        if name == "imf":
            self.network = ImprovedMeanFlow.from_published(self.state, **self.options)
        else:
            self.network = LightningDiT(**self.options).requires_grad_(False)
            self.network.load_state_dict(self.state)
            self.gaps = tuple(self.sampler["rfba_gap_steps"]) if name == "ucgm" else "uniform"

    def __getitem__(self, name):
        return self.file.get_tensor(name)

    def velocity(self, x, t):
        return self.network(x, t.expand(len(x)), self["labels"])


@pytest.fixture(params=["facm", "ucgm"])
def jumping(request):
    return Case(request.param)


@pytest.fixture
def imf():
    return Case("imf")


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


def gradients(output, probe, *inputs):
    return torch.autograd.grad((output * probe).sum(), inputs)


def test_the_velocity_is_the_published_one(jumping):
    x = jumping["x"].requires_grad_()
    v = jumping.network(x, jumping["t"], jumping["y"])
    assert relative(v, jumping["velocity"]) < 1e-5
    assert relative(*gradients(v, jumping["probe"], x), jumping["grad_x"]) < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_jumps_with_fresh_noise_are_the_published_ones(jumping, steps):
    times = Renoising(steps, jumping.gaps).times
    torch.testing.assert_close(times, jumping[f"times_{steps}"], atol=1e-6, rtol=0)
    z, eps = jumping["z"].requires_grad_(), jumping["eps"].requires_grad_()
    end = renoise(jumping.velocity, z, eps, times)
    assert relative(end, jumping[f"sample_{steps}"]) < 1e-5
    of_z = gradients(end, jumping["sample_probe"], z)[0]
    assert relative(of_z, jumping[f"grad_z_{steps}"]) < 1e-4
    if steps == 2:
        end = renoise(jumping.velocity, z, eps, times, Adjoint(recompute=0))
        assert relative(gradients(end, jumping["sample_probe"], eps)[0][:1], jumping["grad_eps_2"]) < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_noises_of_a_path_are_one_tensor_with_its_start(jumping, steps):
    path = Renoising(steps, jumping.gaps)
    start = torch.cat([jumping["z"], *jumping["eps"][: steps - 1]], dim=1)
    assert start.shape[1] == path.noises * jumping["z"].shape[1]
    end = path(lambda x, i: jumping.velocity(x, path.times[i]), start)
    assert relative(end, jumping[f"sample_{steps}"]) < 1e-5


def test_the_flow_of_facm_s_first_stage_is_euler(request):
    case, times = Case("facm"), time_grid(4, 1.0)
    z = integrate(euler, lambda x, i: case.velocity(x, times[i]), case["z"], times)
    assert relative(z, case["sample_flow_4"]) < 1e-5


def test_the_mean_velocity_is_the_published_one(imf):
    x = imf["x"].requires_grad_()
    u = imf.network(x, *(imf[name] for name in ("h", "omega", "t_min", "t_max", "y")))
    assert relative(u, imf["u"]) < 1e-5
    assert relative(*gradients(u, imf["probe"], x), imf["grad_x"]) < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_jumps_by_mean_velocities_are_the_published_ones(imf, steps):
    path, options = MeanJumps(steps), (imf.sampler[name] for name in ("omega", "t_min", "t_max"))
    network, z = Guided(imf.network, *options), imf["z"].requires_grad_()
    torch.testing.assert_close(path.times, imf[f"h_{steps}"], atol=1e-6, rtol=0)
    conditions = [network.condition(h.expand(len(z)), imf["labels"]) for h in path.times]
    end = path(lambda x, i: network.velocity(x, conditions[i]), z)
    assert relative(end, imf[f"sample_{steps}"]) < 1e-5
    assert relative(*gradients(end, imf["sample_probe"], z), imf[f"grad_z_{steps}"]) < 1e-4


def test_what_is_missing_from_a_published_file_or_too_much_is_named(imf):
    state = imf.state | {"net.extra.weight": torch.zeros(1)}
    del state["net.u_heads.0.attn_scale"]
    with pytest.raises(ValueError, match=r"missing: u_heads.0.attn_scale; unexpected: extra.weight"):
        ImprovedMeanFlow.from_published(state, **imf.options)


def test_names_and_sizes_are_those_of_the_published_files():
    for file, build, name in (
        ("facm_xl_1_keys", lambda: LightningDiT(use_qknorm=True), lambda name: name),
        ("imf_b_2_keys", ImprovedMeanFlow, layout.published_mean_flow_name),
    ):
        listed = json.loads((DATA / f"{file}.json").read_text())
        with torch.device("meta"):
            state = build().state_dict()
        assert {name(key): list(tensor.shape) for key, tensor in state.items()} == {
            key: about[0] for key, about in listed.items() if "v_final_layer" not in key
        }
