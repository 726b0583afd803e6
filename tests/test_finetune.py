"""Fine-tuning the prior through its sampler: the loss against other means, and a whole short training."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from equidiff_cli import target
from equidiff_cli.metrics.frechet import frechet_distance
from equidiff_cli.prior import build


@pytest.fixture(scope="module")
def moments(script):
    return script("moments")


@pytest.fixture(scope="module")
def finetune(script):
    return script("finetune_prior")


def drawn(count, scale, mean, seed):
    """Features (count, D) float64, normal, with standard deviations `scale` (D,), mixed so that all of them depend."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.linalg.qr(torch.randn(len(scale), len(scale), generator=generator)).Q
    return ((torch.randn(count, len(scale), generator=generator) * torch.tensor(scale)) @ mix + mean).double()


def test_the_loss_is_the_frechet_distance_over_the_variance(moments):
    real, samples = drawn(4000, [3.0, 1.0, 0.5, 2.0], 1.0, 0), drawn(4000, [1.0, 2.0, 1.5, 0.1], 0.4, 1)
    loss = moments.FrechetLoss(moments.moments(real), keep=0.0)
    wanted = frechet_distance(samples, real) / real.var(0).sum()
    assert loss(samples).item() == pytest.approx(wanted.item(), rel=1e-3)
    assert loss(real).item() == pytest.approx(0, abs=1e-6)


def test_its_gradient_is_that_of_finite_differences(moments):
    real, samples = drawn(50, [3.0, 1.0, 0.5], 1.0, 0), drawn(40, [1.0, 2.0, 1.5], 0.4, 1)
    loss = moments.FrechetLoss(moments.moments(real), keep=0.0)
    assert torch.autograd.gradcheck(loss, samples.requires_grad_())


def test_running_moments_count_first_batches_alike_and_then_forget(moments):
    batches = [drawn(50, [1.0, 2.0], float(i), i) for i in range(8)]
    loss = moments.FrechetLoss(moments.moments(batches[0]), keep=0.75)
    for batch in batches[:4]:
        loss(batch)
    together = moments.moments(torch.cat(batches[:4]))
    torch.testing.assert_close(loss.running, together)
    loss(batches[4])
    torch.testing.assert_close(loss.running, 0.75 * together + 0.25 * moments.moments(batches[4]))


def test_a_batch_feels_the_distance_of_all_that_came_before(moments):
    """The gradient is that of a small step of all moments, though the running ones hold other pictures."""
    real, before = drawn(500, [1.0, 2.0, 0.5], 0.0, 0), drawn(500, [1.0, 1.0, 1.0], 2.0, 1)
    samples = drawn(10, [0.1, 0.1, 0.1], -1.0, 2)
    loss = moments.FrechetLoss(moments.moments(real), keep=0.99)
    for _ in range(100):
        loss(before)
    loss(samples.requires_grad_()).backward()
    moved = samples.detach() - 0.05 * samples.grad * len(samples)
    step = moments.moments(moved) - moments.moments(samples.detach())
    fallen = loss.distance(loss.running) - loss.distance(loss.running + step)
    assert fallen > 0.5 * 0.05 * samples.grad.square().sum() * len(samples) > 0
    assert samples.grad.mean() > 0, "all were too far up, though these are too far down"


def test_descending_it_gives_samples_the_statistics_of_the_real_ones(moments):
    real = drawn(4000, [3.0, 1.0, 0.5, 2.0], 1.0, 0)
    loss = moments.FrechetLoss(moments.moments(real), keep=0.8)
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    linear = torch.nn.Linear(4, 4, dtype=torch.float64)
    optimizer = torch.optim.Adam(linear.parameters(), lr=0.03)
    for step in range(500):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - step / 500)
        noise = torch.randn(64, 4, generator=generator, dtype=torch.float64)
        optimizer.zero_grad()
        loss(linear(noise)).backward()
        optimizer.step()
    covariance = (linear.weight @ linear.weight.mT).detach()
    torch.testing.assert_close(covariance, torch.cov(real.mT), atol=0.6, rtol=0)
    torch.testing.assert_close(linear.bias.detach(), real.mean(0), atol=0.3, rtol=0)


def test_what_is_seen_are_means_and_places_of_the_layers_of_smallresnet(finetune):
    classifier = target.embedded("smallresnet")
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = finetune.seen(classifier, x)
    assert len(found) == len(finetune.POOLED + finetune.PLACES)
    maps = [classifier.activations(x, name) for name in finetune.POOLED + finetune.PLACES]
    for features, layer in zip(found[:3], maps[:3], strict=True):
        torch.testing.assert_close(features, layer.mean((2, 3)))
    for features, layer in zip(found[3:], maps[3:], strict=True):
        per_picture = features.unflatten(0, (3, -1))
        torch.testing.assert_close(per_picture[1, 5], layer[1].flatten(1)[:, 5])
        assert features.shape == (3 * layer[0, 0].numel(), layer.shape[1])
    assert not classifier.model.layer2._forward_hooks


def test_the_statistics_of_training_pictures_are_of_all_of_them_every_other_one_mirrored(finetune, moments):
    classifier = target.embedded("smallresnet")
    images = torch.randint(0, 256, (502, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, :, :, :16] //= 3  # so that a mirror image is another one
    images[1::2] //= 2
    with torch.no_grad():
        found = finetune.real_moments(classifier, images, "cpu")
        images[1::2] = images[1::2].flip(-1)
        wanted = [moments.moments(x) for x in finetune.seen(classifier, images / 255)]
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def tune(finetune, tmp_path_factory):
    """Run the script on 20 pictures with the shipped weights; returns what it wrote."""
    folder = tmp_path_factory.mktemp("finetune")
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def call(name, *options):
        out = folder / f"{name}.safetensors"
        argv = ["--data", "none", "--init", build.EMBEDDED / "lightningdit.safetensors", "--out", out]
        argv += ["--autoencoder", build.EMBEDDED / "autoencoder.safetensors", "--checkpoint", folder / f"{name}.pt"]
        argv += ["--batch", "3", "--decay", "1", "--device", "cpu", *options]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["finetune", *map(str, argv)])
            patch.setattr(finetune.cifar10, "load", lambda *_: (images, None))
            finetune.main()
        return load_file(out)

    return call


def test_steps_that_look_change_nothing_and_others_only_what_is_tuned(tune):
    shipped = load_file(build.EMBEDDED / "lightningdit.safetensors")
    looked = tune("looked", "--steps", "2", "--observe", "2")
    assert looked.keys() == shipped.keys() and all(torch.equal(looked[name], shipped[name]) for name in shipped)
    tuned = tune("tuned", "--steps", "3", "--observe", "1", "--lr", "1e-3")
    changed = {name.split(".")[0] for name in shipped if not torch.equal(tuned[name], shipped[name])}
    assert changed == {"x_embedder", "blocks", "final_layer"}


def test_a_fine_tuning_that_was_stopped_goes_on_to_the_same_weights(finetune, tune, monkeypatch):
    options = ["--steps", "4", "--observe", "1", "--lr", "1e-3"]
    whole = tune("whole", *options)
    calls, seen = [], finetune.seen

    def stops(classifier, pictures):
        calls.append(len(pictures))
        if calls.count(3) == 3:
            raise KeyboardInterrupt
        return seen(classifier, pictures)

    monkeypatch.setattr(finetune.Checkpoint.__init__, "__defaults__", (0,))  # a checkpoint after every step
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(finetune, "seen", stops)
        tune("resumed", *options)
    monkeypatch.setattr(finetune, "seen", lambda *arguments: calls.append(0) or seen(*arguments))
    resumed = tune("resumed", *options)
    assert calls.count(3) == 3 and calls.count(0) == 1 + 2, "the training pictures, and two steps"
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_weights_without_statistics_of_latents_are_refused(tmp_path):
    file = tmp_path / "other.safetensors"
    save_file({"blocks.0.attn.qkv.weight": torch.zeros(3, 1)}, file)
    with pytest.raises(ValueError, match=f"prior={file}: it does not hold the statistics of the latents"):
        build.small(file, file, device="cpu")
