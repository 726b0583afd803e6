"""The training scripts: their parts against other means, and whole short trainings on pictures made here."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from equidiff_cli.prior.build import EMBEDDED_AUTOENCODER, EMBEDDED_NETWORK
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.patches import PatchAutoencoder


@pytest.fixture(scope="module")
def muon(script):
    return script("muon")


@pytest.fixture(scope="module")
def train_prior(script):
    return script("train_prior")


@pytest.mark.parametrize("shape", [(24, 60), (60, 24), (16, 16)])
def test_orthogonalising_brings_all_singular_values_near_one(muon, shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(muon.orthogonalize(matrix))
    assert values.min() > 0.6 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.cosine_similarity(muon.orthogonalize(matrix).flatten(), (u @ v).flatten(), dim=0) > 0.97


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
@pytest.mark.parametrize("shape", [(24, 60), (60, 24)])
def test_muon_steps_as_that_of_torch(muon, shape):
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


def test_the_aligned_network_computes_the_velocity(train_prior):
    network = LightningDiT(input_size=4, in_channels=3, hidden_size=16, depth=2, num_heads=2, num_classes=3)
    model = train_prior.Aligned(network, depth=1, features=5)
    x, t, y = torch.randn(2, 3, 4, 4), torch.rand(2), torch.tensor([1, 3])
    v, told = model(x, t, y)
    assert torch.equal(v, network(x, t, y)) and told.shape == (2, 16, 5)


def test_the_statistics_keep_the_order_of_the_channels_and_the_variance_at_one(script):
    z = torch.randn(500, 3, 4, 4) * torch.tensor([4.0, 1.0, 0.25])[:, None, None] + 7
    mean, scale = script("training").statistics(z)
    variances = ((z - mean) / scale).var((0, 2, 3))
    assert variances.mean() == pytest.approx(1, rel=0.01)
    torch.testing.assert_close(variances / variances[1], torch.tensor([4.0, 1.0, 0.25]), rtol=0.05, atol=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """1,100 training pictures in the form of `scripts/cifar10.py`."""
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
def autoencoder(script, folder):
    """The file that a short training of the autoencoder leaves."""
    out = folder / "autoencoder.safetensors"
    train(script("train_autoencoder"), folder, out, "--steps", "3")
    return out


def train(module, folder, out, *options, checkpoint="autoencoder.pt"):
    """Run a training script with its command line."""
    argv = ["--data", folder, "--out", out, "--checkpoint", folder / checkpoint, "--batch", "4", "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["train", *map(str, argv), *options])
        module.main()


def test_the_autoencoder_keeps_its_linear_maps_and_learns_to_refine(script, folder, autoencoder):
    state, model = load_file(autoencoder), PatchAutoencoder(**EMBEDDED_AUTOENCODER)
    model.load_state_dict(state)
    some = script("cifar10").load(folder, "train")[0][:-1000] / 127.5 - 1
    model.fit(torch.cat([some, some.flip(-1)]))
    for name in ("analysis.weight", "analysis.bias", "synthesis.weight", "synthesis.bias"):
        assert torch.equal(state[name], model.state_dict()[name].half()), name
    assert state["refine.0.weight"].isfinite().all() and state["refine.7.weight"].abs().max() > 0


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(train_prior, folder, autoencoder, monkeypatch):
    options = ["--autoencoder", str(autoencoder), "--steps", "4", "--decay", "2"]
    train(train_prior, folder, folder / "whole.safetensors", *options, checkpoint="whole.pt")
    calls, losses = [], train_prior.losses

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return losses(*arguments)

    monkeypatch.setattr(train_prior.Checkpoint.__init__, "__defaults__", (0,))  # a checkpoint after every step
    monkeypatch.setattr(train_prior, "losses", stops)
    with pytest.raises(KeyboardInterrupt):
        train(train_prior, folder, folder / "resumed.safetensors", *options, checkpoint="resumed.pt")
    train(train_prior, folder, folder / "resumed.safetensors", *options, checkpoint="resumed.pt")
    assert len(calls) == 5, "two steps, one that was stopped, two more"
    whole, resumed = (load_file(folder / f"{name}.safetensors") for name in ("whole", "resumed"))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)
    network = LightningDiT(**EMBEDDED_NETWORK)
    assert whole.keys() - network.state_dict().keys() == {"latents_mean", "latents_std"}


def test_training_goes_on_from_weights_as_far_as_they_fit(train_prior, capsys):
    torch.manual_seed(0)
    sizes = dict(input_size=4, hidden_size=16, depth=2, num_heads=2, num_classes=3)
    former, network = LightningDiT(in_channels=4, **sizes), LightningDiT(in_channels=6, **sizes)
    before = network.x_embedder.proj.weight.clone()
    train_prior.continued(network, former.state_dict())
    assert torch.equal(network.blocks[1].attn.qkv.weight, former.blocks[1].attn.qkv.weight)
    assert torch.equal(network.x_embedder.proj.weight, before)
    with pytest.raises(ValueError, match="--init: none of these weights fits"):
        train_prior.continued(network, {"blocks.0.attn.qkv.weight": torch.zeros(1)})
    assert "final_layer.linear.bias, final_layer.linear.weight, x_embedder.proj.weight" in capsys.readouterr().out


@pytest.mark.parametrize("recipe", ["cpu", "cuda"])
def test_one_command_runs_what_is_not_finished_with_options_its_scripts_know(script, monkeypatch, recipe, tmp_path):
    module, ran, out = script("train_embedded"), [], tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["train", "--data", str(tmp_path), "--recipe", recipe, "--out", str(out)])
    monkeypatch.setattr(module.subprocess, "run", lambda command, check: ran.append(command))
    module.main()
    for command, name in zip(ran, ("train_autoencoder", "train_prior"), strict=True):
        assert command[1].endswith(f"{name}.py")
        monkeypatch.setattr("sys.argv", command[1:])
        with pytest.raises(FileNotFoundError, match="--data="):  # past the options, there are no pictures
            script(name).main()
    options = dict(zip(ran[1], ran[1][1:], strict=False))
    assert options["--autoencoder"] == str(out / "autoencoder.safetensors")
    assert options["--out"] == str(out / "lightningdit.safetensors")
    (out / "autoencoder.safetensors").touch()
    monkeypatch.setattr("sys.argv", ["train", "--data", str(tmp_path), "--recipe", recipe, "--out", str(out)])
    module.main()
    assert ran[2:] == ran[1:2], "the autoencoder is finished"
