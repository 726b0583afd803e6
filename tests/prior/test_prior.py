"""The prior: noise from seeds, the flow, decoding, precision, and what is refused."""

import copy
import itertools
from types import SimpleNamespace

import pytest
import torch

from equidiff_cli.circles.build import Circles
from equidiff_cli.circles.networks import PointFlow
from equidiff_cli.prior import autoencoder, sampler
from equidiff_cli.prior.embedded import Embedded
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.patches import PatchAutoencoder
from equidiff_cli.prior.prior import NULL_STREAM, Prior, PriorSource, sample_seed
from equidiff_cli.prior.sampler import Adjoint
from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.weights.read import sha256

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]


@pytest.fixture
def make(tiny_prior):
    """The tiny prior with other options."""

    def call(device="cpu", **options):
        parts = copy.deepcopy((tiny_prior.network, tiny_prior.decoder, tiny_prior.mean, tiny_prior.std))
        return Prior(
            *(part.to(device) for part in parts),
            **dict(name="tiny", weights={}, solver="euler", steps=4, shift=0.3) | options,
        )

    return call


def noise_of(prior, n=3):
    return torch.stack([prior.noise(seed) for seed in range(n)])


def test_sizes(tiny_prior):
    assert tiny_prior.latent_shape == (4, 4, 4)
    assert tiny_prior.decode(noise_of(tiny_prior)).shape == (3, 3, 8, 8)


def test_noise_is_standard_normal_and_set_by_its_seed(tiny_prior):
    state = torch.get_rng_state()
    noise = torch.stack([tiny_prior.noise(seed) for seed in range(500)])
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not touched"
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert torch.equal(tiny_prior.noise(7), noise[7])
    assert torch.pdist(noise.flatten(1)).min() > 1


def test_seeds_of_unguided_samples_are_apart_from_those_of_every_run():
    unguided = {sample_seed(NULL_STREAM, index) for index in range(64)}
    runs = {sample_seed(seed, index) for seed in (*range(40), 2**32 - 1) for index in range(40)}
    assert len(unguided) == 64 and unguided.isdisjoint(runs)


def test_flow_is_the_sampler_on_the_null_class(make, tiny_prior):
    prior, z0 = make(steps=3, shift=0.5), noise_of(tiny_prior)
    null = torch.full((3,), tiny_prior.network.num_classes)
    times, z = sampler.time_grid(3, 0.5), z0
    for t, after in itertools.pairwise(times):
        z = z + (after - t) * tiny_prior.network(z, t.expand(3), null)
    torch.testing.assert_close(prior.flow(z0), z)
    other = tiny_prior.network(z0, times[:1].expand(3), null - 1)
    assert not torch.allclose(other, prior.velocity(z0, 0), atol=1e-3), "the class makes no difference here"


def test_decode_undoes_the_normalisation_and_the_range(tiny_prior):
    mean, std = torch.linspace(-1, 1, 4).view(1, 4, 1, 1), torch.linspace(0.5, 2, 4).view(1, 4, 1, 1)
    prior = Prior(
        tiny_prior.network, tiny_prior.decoder, mean, std, name="", weights={}, solver="euler", steps=2, shift=1.0
    )
    z = 3 * noise_of(prior)
    x = tiny_prior.decoder.decode(z * std + mean).sample
    assert x.abs().max() > 1, "nothing to clamp: the test shows less"
    torch.testing.assert_close(prior.decode(z), (x.clamp(-1, 1) + 1) / 2)


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_unguided_pictures_are_always_the_same(tiny_prior, batch):
    torch.manual_seed(batch)
    pictures = tiny_prior.unguided(6, batch)
    noise = torch.stack([tiny_prior.noise(sample_seed(NULL_STREAM, index)) for index in range(6)])
    with torch.no_grad():
        torch.testing.assert_close(pictures, tiny_prior.decode(tiny_prior.flow(noise)), atol=1e-5, rtol=1e-4)
    assert not pictures.requires_grad and pictures.min() >= 0 and pictures.max() <= 1
    assert torch.pdist(pictures.flatten(1)).min() > 0.1


@pytest.mark.parametrize(("solver", "a_step"), [("euler", 1), ("heun", 2)])
def test_evaluations_are_counted(make, solver, a_step, monkeypatch):
    prior = make(solver=solver, steps=5)
    calls, velocity = [], prior.network.velocity
    monkeypatch.setattr(prior.network, "velocity", lambda z, c: calls.append(c) or velocity(z, c))
    with torch.no_grad():
        prior.flow(noise_of(prior))
    assert len(calls) == prior.evaluations == 5 * a_step


def test_solvers_agree_when_steps_are_many(make):
    z0 = noise_of(make())
    with torch.no_grad():
        exact = make(solver="heun", steps=128).flow(z0)
        errors = {(s, n): (make(solver=s, steps=n).flow(z0) - exact).norm() for s in ("euler", "heun") for n in (8, 16)}
    assert 1.6 < errors["euler", 8] / errors["euler", 16] < 2.5, "first order"
    assert 3 < errors["heun", 8] / errors["heun", 16] < 5, "second order"


@pytest.mark.parametrize("recompute", [0, 3])
@pytest.mark.parametrize("decoder", [False, True])
def test_recomputing_changes_no_gradient(make, tiny_prior, recompute, decoder):
    def gradient(prior, *adjoint):
        z0 = noise_of(tiny_prior).requires_grad_()
        return torch.autograd.grad(prior.decode(prior.flow(z0, *adjoint), *adjoint).square().sum(), z0)[0]

    every, some = make(), make()
    found = gradient(some, Adjoint(recompute=recompute, decoder=decoder))
    assert some.decoder.decoder.gradient_checkpointing == decoder
    assert torch.equal(found, gradient(every))
    assert (found.flatten(1).norm(dim=1) > 1e-3).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_and_comes_back_as_float32(make, device, dtype, monkeypatch):
    half, full = make(device, autocast=dtype), make(device)
    z0, kinds, velocity = noise_of(full).to(device), [], half.network.velocity
    monkeypatch.setattr(half.network, "velocity", lambda z, c: note(velocity(z, c), kinds))
    with torch.no_grad():
        z, exact = half.flow(z0), full.flow(z0)
        x = half.decode(exact)
    assert kinds == [dtype] * 4, "half precision was not used"
    assert z.dtype == x.dtype == torch.float32 and x.device == z0.device
    assert 0 < (z - exact).norm() / exact.norm() < 0.02
    assert 0 < (x - full.decode(exact)).abs().max() < 0.05
    assert half.unguided(2, 2).device == half.device == z0.device
    assert torch.equal(half.noise(3), full.noise(3)) and half.noise(3).device.type == "cpu"


def note(v, kinds):
    kinds.append(v.dtype)
    return v


def test_velocity_at_other_times_is_exact(make):
    half, full, z = make(autocast=torch.bfloat16), make(), noise_of(make())
    with torch.no_grad():
        for prior in (half, full):
            for i in range(5):
                assert torch.equal(prior.velocity_on(prior.times)(z, i), prior.velocity(z, i))
        middle = full.velocity_on(torch.tensor([0.0, 0.5, 1.0]))(z, 1)
    condition = full.network.condition(torch.tensor([0.5]), torch.tensor([full.network.num_classes]))
    torch.testing.assert_close(middle, full.network.velocity(z, condition))


@pytest.mark.parametrize(("light", "side"), [(Embedded, 32), (Circles, 1)])
def test_light_objects_check_their_options_and_read_nothing(light, side, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "to", None)  # nothing is made
    options = dict(image_size=side, solver="heun", steps=7, shift=0.5)
    made = light(**options)
    assert isinstance(made, PriorSource) and made.sources() == []
    assert (made.image_size, made.steps, made.medium.channels) == (side, 7, 3 if side > 1 else 2)
    for key, value in dict(image_size=8, solver="rk4", steps=0, shift=0.0).items():
        with pytest.raises(ValueError, match=f"^prior.{key}={value}: "):
            light(**options | {key: value})


def test_a_prior_says_what_it_was_made_of():
    prior = Embedded(image_size=32, solver="heun", steps=7, shift=0.5).build(torch.device("cpu"), torch.bfloat16)
    assert (prior.name, prior.steps, prior.evaluations, prior.autocast) == ("embedded", 7, 14, torch.bfloat16)
    for file, digest in prior.weights.items():
        assert sha256(WEIGHTS / file) == digest
    assert prior.weights.keys() == {"lightningdit.safetensors", "autoencoder.safetensors"}


def test_compile_compiles_the_velocity(make, monkeypatch):
    compiled, prior, z0 = [], make(), noise_of(make())
    monkeypatch.setattr(torch, "compile", lambda f: lambda *given: compiled.append(f) or f(*given))
    plain = prior.flow(z0)
    prior.compile()
    assert not compiled and torch.equal(prior.flow(z0), plain) and len(compiled) == prior.evaluations


@pytest.mark.parametrize(
    ("module", "single"),
    [
        (lambda: PatchAutoencoder(patch_size=4, latent_channels=10, width=8, depth=1), {"analysis"}),
        (
            lambda: autoencoder.build(latent_channels=4, block_out_channels=(32, 32), attention_levels=()),
            {"encoder", "quant_conv"},
        ),
        (lambda: LightningDiT(hidden_size=32, num_heads=2, depth=1), {"t_embedder", "y_embedder", "pos_embed"}),
        (PointFlow, set()),
    ],
    ids=["patches", "autoencoder", "lightningdit", "points"],
)
def test_what_is_kept_in_half_precision_are_all_products_but_those_of_the_condition_and_the_encoder(module, single):
    module = module()
    module.keep_in(torch.bfloat16)
    for name, parameter in module.named_parameters():
        part = module.get_submodule(name.rpartition(".")[0])
        product = isinstance(part, (torch.nn.Linear, torch.nn.Conv2d)) and name.partition(".")[0] not in single
        assert parameter.dtype == (torch.bfloat16 if product else torch.float32), name


def test_a_decoder_that_does_not_say_what_may_be_rounded_is_rounded_by_autocast(make, tiny_prior):
    plain = SimpleNamespace(decode=tiny_prior.decoder.decode)
    options = dict(name="", weights={}, solver="euler", steps=4, shift=0.3, autocast=torch.bfloat16)
    z = noise_of(tiny_prior)
    network = copy.deepcopy(tiny_prior.network)
    prior = Prior(network, plain, tiny_prior.mean, tiny_prior.std, **options)
    assert torch.equal(prior.decode(z), make(autocast=torch.bfloat16).decode(z))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(solver="rk4"), "prior.solver=rk4: use one of euler, heun"),
        (dict(steps=0), "prior.steps=0: must be a whole number at least 1"),
        (dict(steps=2.5), "prior.steps=2.5: must be a whole number at least 1"),
        (dict(shift=0.0), "prior.shift=0.0: must be a number above 0"),
        (dict(shift=float("nan")), "prior.shift=nan: must be a number above 0"),
    ],
)
def test_wrong_options(make, options, message):
    with pytest.raises(ValueError) as error:
        make(**options)
    assert str(error.value) == message


def test_weights_kept_in_half_precision_change_nothing(make, tiny_prior):
    """Against autocast on weights in float32, bit for bit, gradients included."""
    half, full = make(autocast=torch.bfloat16), make()
    full.autocast = torch.bfloat16
    kinds = {parameter.dtype for parameter in half.network.blocks.parameters()}
    assert kinds == {torch.float32, torch.bfloat16} and {p.dtype for p in full.network.parameters()} == {torch.float32}

    def picture_and_gradient(prior):
        z0 = noise_of(tiny_prior).requires_grad_()
        x = prior.decode(prior.flow(z0))
        return x, torch.autograd.grad(x.square().sum(), z0)[0]

    for mine, theirs in zip(picture_and_gradient(half), picture_and_gradient(full), strict=True):
        assert torch.equal(mine, theirs)


def test_what_is_measured_is_what_a_file_keeps(make):
    prior = make()
    x = torch.rand(2, 3, 4, 4, requires_grad=True)
    filed = prior.filed(x)
    torch.testing.assert_close(filed * 255, (x * 255).round(), atol=1e-4, rtol=0)
    (grad,) = torch.autograd.grad(filed.square().sum(), x)
    torch.testing.assert_close(grad, 2 * filed.detach())
    assert make(levels=None).filed(x) is x


def test_roundings_of_a_picture_differ_and_keep_close_to_it(make):
    prior, x = make(), torch.rand(2, 3, 16, 16).clamp(0.1, 1).requires_grad_()
    several = [prior.filed(x, number) for number in range(5)]
    for number, filed in enumerate(several):
        levels = filed.detach() * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
        assert 0.5 < (levels - 255 * x).abs().max() <= 0.75 or not number
        assert filed.max() <= 1.0 and torch.equal(filed, prior.filed(x, number))
        assert torch.equal(torch.autograd.grad(filed.sum(), x)[0], torch.ones_like(x))
        for other in several[:number]:  # a quarter of a level moves an eighth of all values
            assert 0.05 < (other - filed).abs().gt(1e-3).float().mean() < 0.35
