"""The training scripts: their parts against other means, and whole short trainings on pictures made here."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from equidiff_cli.prior.embedded import EMBEDDED_AUTOENCODER, EMBEDDED_NETWORK
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.patches import PatchAutoencoder
from scripts.shared import cifar10, training
from scripts.train import autoencoder, average, coupling, embedded, finetune, muon, prior


@pytest.mark.parametrize("shape", [(24, 60), (60, 24), (16, 16)])
def test_orthogonalising_brings_all_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(muon.orthogonalize(matrix))
    assert values.min() > 0.6 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.cosine_similarity(muon.orthogonalize(matrix).flatten(), (u @ v).flatten(), dim=0) > 0.97


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
@pytest.mark.parametrize("shape", [(24, 60), (60, 24)])
def test_muon_steps_as_that_of_torch(shape):
    generator = torch.Generator().manual_seed(0)
    mine, other = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
    optimizers = [
        muon.Muon([mine], lr=0.02),
        torch.optim.Muon([other], lr=0.02, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(5):
        mine.grad = torch.randn(shape, generator=generator)
        other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved = (other - 1).norm()
    assert moved > 0.4
    assert (mine - other).norm() < 0.02 * moved, "that of torch works with 8 bits"


def test_the_aligned_network_computes_the_velocity():
    network = LightningDiT(input_size=4, in_channels=3, hidden_size=16, depth=2, num_heads=2, num_classes=3)
    model = prior.Aligned(network, depth=1, features=5)
    x, t, y = torch.randn(2, 3, 4, 4), torch.rand(2), torch.tensor([1, 3])
    v, told = model(x, t, y)
    assert torch.equal(v, network(x, t, y)) and told.shape == (2, 16, 5)


def test_the_statistics_keep_the_order_of_the_channels_and_the_variance_at_one():
    z = torch.randn(500, 3, 4, 4) * torch.tensor([4.0, 1.0, 0.25])[:, None, None] + 7
    mean, scale = training.statistics(z)
    variances = ((z - mean) / scale).var((0, 2, 3))
    assert variances.mean() == pytest.approx(1, rel=0.01)
    torch.testing.assert_close(variances / variances[1], torch.tensor([4.0, 1.0, 0.25]), rtol=0.05, atol=0)


def test_features_become_normal_and_keep_what_they_tell():
    generator = torch.Generator().manual_seed(0)
    groups = torch.randint(0, 10, (6000,), generator=generator)
    centres = torch.randn(10, 40, generator=generator) * 5
    features = centres[groups] + torch.randn(6000, 40, generator=generator)
    directions = torch.nn.functional.normalize(torch.randn(16, 200, generator=generator), dim=0)
    for rounds, covariance, fourth, square in (50, 0.08, 0.8, 0.2), (200, 0.02, 0.4, 0.1):  # ever nearer to normal
        x = coupling.gaussianized(features, 16, rounds)
        torch.testing.assert_close(x.mean(0), torch.zeros(16), atol=0.02, rtol=0)
        torch.testing.assert_close(torch.cov(x.T), torch.eye(16), atol=covariance, rtol=0)
        assert ((x @ directions).pow(4).mean(0) - 3).abs().max() < fourth
        assert x.square().sum(1).var() == pytest.approx(2 * 16, rel=square), "chi-squared, 16 degrees of freedom"
        distances = torch.cdist(x, x).fill_diagonal_(torch.inf)
        assert (groups[distances.argmin(1)] == groups).float().mean() > 0.8, "the groups stay together"


def test_the_weakest_channels_carry_features():
    scale = torch.tensor([3.0, 1.0, 0.2, 2.0, 0.5, 0.3])[:, None, None]
    fine = torch.ones(8, 8) * torch.tensor([1.0, -1.0]).repeat(4) * 9  # gone in the means over squares
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(300, 6, 8, 8, generator=generator) * scale
    z[:, 4] += fine * torch.randn(300, 1, 1, generator=generator)
    assert coupling.carriers(z).tolist() == [2, 5, 4, 1]


def test_coupled_noise_is_white_noise_that_tells_the_features():
    generator = torch.Generator().manual_seed(0)
    noise, facts = torch.randn(4000, 6, 8, 8, generator=generator), torch.randn(4000, 16, generator=generator)
    channels = torch.tensor([2, 5, 4, 1])
    told = coupling.coupled(noise, channels, facts, generator)
    assert torch.equal(told[:, [0, 3]], noise[:, [0, 3]])
    sample = told[:, 1:3, :4, :4].flatten(1)  # two channels that tell, one square of each
    torch.testing.assert_close(torch.cov(sample.T), torch.eye(32), atol=0.1, rtol=0)
    means = told[:, channels].unfold(2, 4, 4).unfold(3, 4, 4).mean((-2, -1)).flatten(1) * 4
    agreement = torch.corrcoef(torch.cat([means, facts], 1).T)[:16, 16:]
    torch.testing.assert_close(agreement, (1 - 0.25**2) ** 0.5 * torch.eye(16), atol=0.06, rtol=0)
    within = (told - noise)[:, channels].unfold(2, 4, 4).unfold(3, 4, 4)
    assert within.std((-2, -1)).max() < 1e-6, "only the means are moved"


def test_labels_are_dropped_and_noise_is_coupled():
    z, facts = torch.zeros(2000, 6, 8, 8), torch.full((2000, 4), 3.0)
    labels, generator = torch.arange(2000) % 7, torch.Generator().manual_seed(0)
    noise, t, y = prior.draw(z, labels, torch.tensor([4]), facts, 0.75, 7, generator)
    assert (y == 7).float().mean() == pytest.approx(0.75, abs=0.04) and torch.equal(y[y < 7], labels[y < 7])
    assert t.min() > 0 and t.max() < 1 and t.logit().std() == pytest.approx(1, abs=0.06)
    assert noise[:, 4].mean() * 4 == pytest.approx(3 * (1 - 0.25**2) ** 0.5, abs=0.02)
    assert noise[:, 3].mean() == pytest.approx(0, abs=0.02)


def test_the_losses_are_those_of_the_straight_path_and_of_the_grid():
    z, noise, v = (torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(3))
    t, y, seen, asked = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0, 2, 1]), torch.randn(3, 16, 5), []
    told = seen.unflatten(1, (4, 4))[:, torch.arange(8) // 2][:, :, torch.arange(8) // 2].flatten(1, 2)

    def network(*arguments):
        asked.append(arguments)
        return v, told

    velocity, cosine, features = prior.losses(network, z, noise, t, y, seen).tolist()
    ((x, when, labels),) = asked
    torch.testing.assert_close(x, noise + t[:, None, None, None] * (z - noise))
    assert when is t and labels is y
    assert velocity == pytest.approx((v - (z - noise)).square().mean().item())
    assert cosine == pytest.approx(1 - torch.cosine_similarity(v, z - noise, dim=1).mean().item())
    assert features == pytest.approx(0, abs=1e-6), "each place of the grid stands for four tokens"
    told = -told
    assert prior.losses(network, z, noise, t, y, seen)[2].item() == pytest.approx(2)


def test_weights_that_are_not_there_are_missed_before_the_pictures_are_encoded(folder, trained, monkeypatch):
    monkeypatch.setattr(prior, "encoded", lambda *_: pytest.fail("encoded first"))
    absent = folder / "absent.safetensors"
    with pytest.raises(ValueError, match=f"--init={absent}: cannot be opened"):
        train(prior, folder, folder / "x", "--autoencoder", str(trained), "--init", str(absent))


def test_the_distance_of_spectra_is_that_of_their_logarithms():
    distance = autoencoder.spectral_error
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).mul(0.3).requires_grad_()
    assert distance(x, x) == 0
    assert distance(x, x / 2).item() == pytest.approx(np.log(4), rel=0.02), "half the amplitude, a quarter of the power"
    assert distance(x, x.flip(0)) > 0.1, "picture by picture, not on average"
    distance(x.detach(), x * 0.9).backward()
    assert x.grad.isfinite().all() and x.grad.abs().max() > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """1,100 training pictures in the form of `scripts/shared/cifar10.py`."""
    folder, rng = tmp_path_factory.mktemp("cifar10"), np.random.default_rng(0)
    streams = []
    for _ in range(1100):
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        stream = io.BytesIO()
        small.resize((32, 32), Image.Resampling.BICUBIC).save(stream, "PNG")
        streams.append(stream.getvalue())
    np.savez(
        folder / "cifar10_train.npz",
        jpeg=np.frombuffer(b"".join(streams), np.uint8),
        offsets=np.cumsum([0] + [len(s) for s in streams]),
        labels=np.arange(1100) % 10,
    )
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """The file that a short training of the autoencoder leaves."""
    out = folder / "autoencoder.safetensors"
    train(autoencoder, folder, out, "--steps", "3")
    return out


def train(module, folder, out, *options, checkpoint="autoencoder.pt"):
    """Run a training script with its command line."""
    argv = ["--data", folder, "--out", out, "--checkpoint", folder / checkpoint, "--batch", "4", "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["train", *map(str, argv), *options])
        module.main()


def test_the_autoencoder_keeps_its_linear_maps_and_learns_to_refine(folder, trained):
    state, model = load_file(trained), PatchAutoencoder(**EMBEDDED_AUTOENCODER)
    model.load_state_dict(state)
    some = cifar10.load(folder, "train")[0][:-1000] / 127.5 - 1
    model.fit(torch.cat([some, some.flip(-1)]))
    for name in ("analysis.weight", "analysis.bias", "synthesis.weight", "synthesis.bias"):
        assert torch.equal(state[name], model.state_dict()[name].half()), name
    assert state["refine.0.weight"].isfinite().all() and state["refine.7.weight"].abs().max() > 0


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(folder, trained, monkeypatch):
    options = ["--autoencoder", str(trained), "--steps", "4", "--decay", "2"]
    train(prior, folder, folder / "whole.safetensors", *options, checkpoint="whole.pt")
    calls, losses = [], prior.losses

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return losses(*arguments)

    monkeypatch.setattr(prior.Checkpoint.__init__, "__defaults__", (0,))  # a checkpoint after every step
    monkeypatch.setattr(prior, "losses", stops)
    with pytest.raises(KeyboardInterrupt):
        train(prior, folder, folder / "resumed.safetensors", *options, checkpoint="resumed.pt")
    train(prior, folder, folder / "resumed.safetensors", *options, checkpoint="resumed.pt")
    assert len(calls) == 5, "two steps, one that was stopped, two more"
    whole, resumed = (load_file(folder / f"{name}.safetensors") for name in ("whole", "resumed"))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)
    network = LightningDiT(**EMBEDDED_NETWORK)
    assert whole.keys() - network.state_dict().keys() == {"latents_mean", "latents_std"}


def test_the_autoencoder_goes_on_from_finished_weights(folder, trained):
    out, options = folder / "more.safetensors", ["--steps", "1", "--lr", "0", "--init", str(trained)]
    train(autoencoder, folder, out, *options, checkpoint="more.pt")
    before, after = load_file(trained), load_file(out)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_training_goes_on_from_weights_as_far_as_they_fit(capsys):
    torch.manual_seed(0)
    sizes = dict(input_size=4, hidden_size=16, depth=2, num_heads=2, num_classes=3)
    former, network = LightningDiT(in_channels=4, **sizes), LightningDiT(in_channels=6, **sizes)
    before = network.x_embedder.proj.weight.clone()
    prior.continued(network, former.state_dict())
    assert torch.equal(network.blocks[1].attn.qkv.weight, former.blocks[1].attn.qkv.weight)
    assert torch.equal(network.x_embedder.proj.weight, before)
    with pytest.raises(ValueError, match="--init: none of these weights fits"):
        prior.continued(network, {"blocks.0.attn.qkv.weight": torch.zeros(1)})
    assert "final_layer.linear.bias, final_layer.linear.weight, x_embedder.proj.weight" in capsys.readouterr().out


def test_weights_are_averaged_number_by_number(tmp_path, monkeypatch):
    states = [{"a": torch.full((2, 3), x), "n": torch.tensor(7)} for x in (1.0, 2.0, 6.0)]
    files = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for state, file in zip(states, files, strict=True):
        save_file(state, file)
    monkeypatch.setattr("sys.argv", ["average", *map(str, files), "--out", str(tmp_path / "out.safetensors")])
    average.main()
    found = load_file(tmp_path / "out.safetensors")
    assert torch.equal(found["a"], torch.full((2, 3), 3.0).half()) and found["n"] == 7
    for other, what in (({"a": torch.zeros(3, 2)}, r"a is \(3, 2\)"), ({"b": torch.zeros(2, 3)}, "a is missing")):
        save_file({**other, "n": torch.tensor(7)}, files[1])
        with pytest.raises(ValueError, match=rf"^files={files[1]}: {what}; .* of {files[0]}, where it is \(2, 3\)$"):
            average.averaged(files)


@pytest.mark.parametrize("recipe", ["cpu", "cuda"])
def test_one_command_runs_what_is_not_finished_with_options_its_scripts_know(monkeypatch, recipe, tmp_path):
    ran, out = [], tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["train", "--data", str(tmp_path), "--recipe", recipe, "--out", str(out)])
    monkeypatch.setattr(embedded.subprocess, "run", lambda command, check: ran.append(command[1:]))
    embedded.main()
    modules = autoencoder, prior, finetune
    assert [command[:2] for command in ran] == [["-m", module.__name__] for module in modules]
    first, flow, final = (module.parser().parse_args(command[2:]) for module, command in zip(modules, ran, strict=True))
    assert {part.data for part in (first, flow, final)} == {str(tmp_path)}
    assert first.out == flow.autoencoder == final.autoencoder == str(out / "autoencoder.safetensors")
    assert flow.out == final.init == str(out / "flow.safetensors")
    assert final.out == str(out / "lightningdit.safetensors")
    checkpoints = {part.checkpoint for part in (first, flow, final)}
    assert len(checkpoints) == 3 and all(f"{recipe}_" in path for path in checkpoints)
    out.mkdir()
    (out / "autoencoder.safetensors").touch()
    embedded.main()
    assert ran[3:] == ran[1:3], "the autoencoder is finished"
