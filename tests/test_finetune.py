"""Fine-tuning the prior through its sampler: the loss, computed in another way, too, and whole short trainings."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from equidiff_cli import target
from equidiff_cli.metrics.frechet import frechet_distance
from equidiff_cli.prior import build
from equidiff_cli.prior.prior import Prior


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


def loss_of(moments, real, first, keep):
    return moments.FrechetLoss(moments.moments(real), moments.moments(first), keep)


def test_the_loss_is_the_frechet_distance_over_the_variance(moments):
    real, samples = drawn(4000, [3.0, 1.0, 0.5, 2.0], 1.0, 0), drawn(4000, [1.0, 2.0, 1.5, 0.1], 0.4, 1)
    wanted = frechet_distance(samples, real) / real.var(0).sum().item()
    assert loss_of(moments, real, samples, 0.9)(samples, samples).item() == pytest.approx(wanted, rel=1e-3)
    assert loss_of(moments, real, real, 0.9)(samples, samples).item() == pytest.approx(0, abs=1e-6)
    assert loss_of(moments, real, real, 0.0)(samples, real).item() == pytest.approx(wanted, rel=1e-3)


def test_its_gradient_is_that_of_finite_differences(moments):
    real, first, samples = (
        drawn(40, scale, 0.4, seed) for seed, scale in enumerate(([3, 1, 0.5], [1, 1, 1], [1, 2, 1.5]))
    )

    def distance(x):
        return loss_of(moments, real, first, 0.0)(x, first)

    assert torch.autograd.gradcheck(distance, samples.requires_grad_())


def test_a_change_is_averaged_over_batches(moments):
    first, batches = drawn(60, [1.0, 2.0], 0.0, 0), [drawn(60, [2.0, 1.0], float(i), i) for i in range(3)]
    loss = loss_of(moments, drawn(60, [1.0, 1.0], 0.0, 1), first, 0.75)
    for batch in batches:
        loss(batch, first)
    changes = [moments.moments(batch) - moments.moments(first) for batch in batches]
    wanted = 0.25 * (0.75**2 * changes[0] + 0.75 * changes[1] + changes[2])
    torch.testing.assert_close(loss.change, wanted)


def test_a_batch_feels_the_distance_of_all_samples(moments):
    """Its samples are too far down, yet they are to move further down: all samples together are too far up."""
    real, first = drawn(500, [1.0, 2.0, 0.5], 0.0, 0), drawn(500, [1.0, 1.0, 1.0], 2.0, 1)
    samples = drawn(10, [0.1, 0.1, 0.1], -1.0, 2)
    loss = loss_of(moments, real, first, 0.9)
    loss(samples.requires_grad_(), samples.detach()).backward()
    assert samples.grad.mean() > 0
    moved = samples.detach() - 0.05 * samples.grad
    step = moments.moments(moved) - moments.moments(samples.detach())
    fallen = loss.distance(loss.first) - loss.distance(loss.first + step)
    assert fallen.item() == pytest.approx(0.05 * samples.grad.square().sum().item(), rel=0.1)


def test_descending_it_gives_samples_the_statistics_of_the_real_ones(moments):
    real = drawn(4000, [3.0, 1.0, 0.5, 2.0], 1.0, 0)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(1000, 4, generator=generator, dtype=torch.float64)
    torch.manual_seed(0)
    linear = torch.nn.Linear(4, 4, dtype=torch.float64)
    first = linear(noise).detach()
    loss = loss_of(moments, real, first, 0.8)
    optimizer = torch.optim.Adam(linear.parameters(), lr=0.03)
    for step in range(500):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - step / 500)
        part = torch.randint(0, len(noise), (64,), generator=generator)
        optimizer.zero_grad()
        loss(linear(noise[part]), first[part]).backward()
        optimizer.step()
    found = linear(noise).detach()
    assert frechet_distance(first, real) > 5 and frechet_distance(found, real) < 0.1


def test_what_is_seen_are_means_places_and_probabilities_of_smallresnet(finetune):
    classifier = target.embedded("smallresnet")
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = finetune.seen(classifier, x)
    assert len(found) == finetune.SETS
    maps = [classifier.activations(x, name) for name in finetune.POOLED + finetune.PLACES]
    for features, layer in zip(found[:3], maps[:3], strict=True):
        torch.testing.assert_close(features, layer.mean((2, 3)))
    for features, layer in zip(found[3:-1], maps[3:], strict=True):
        per_picture = features.unflatten(0, (3, -1))
        torch.testing.assert_close(per_picture[1, 5], layer[1].flatten(1)[:, 5])
        assert features.shape == (3 * layer[0, 0].numel(), layer.shape[1])
    torch.testing.assert_close(found[-1], classifier(x).softmax(1))
    assert not classifier.model.layer2._forward_hooks


def test_moments_of_many_pictures_are_those_of_all_at_once(finetune, moments):
    classifier = target.embedded("smallresnet")
    images = torch.randint(0, 256, (502, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[500:] //= 2
    with torch.no_grad():
        wanted = [moments.moments(x) for x in finetune.seen(classifier, images / 255)]
    for pictures in images, images / 255:
        for mine, other in zip(finetune.all_moments(classifier, pictures, "cpu"), wanted, strict=True):
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
        argv += ["--batch", "3", "--samples", "8", "--decay", "1", "--device", "cpu", *options]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["finetune", *map(str, argv)])
            patch.setattr(finetune.cifar10, "load", lambda *_: (images, None))
            finetune.main()
        return load_file(out)

    call.folder, call.images = folder, images
    return call


def test_the_embeddings_and_the_statistics_stay_as_they_are(tune):
    shipped = load_file(build.EMBEDDED / "lightningdit.safetensors")
    unmoved = tune("unmoved", "--steps", "1", "--lr", "0")
    assert unmoved.keys() == shipped.keys() and all(torch.equal(unmoved[name], shipped[name]) for name in shipped)
    tuned = tune("tuned", "--steps", "2", "--lr", "1e-3")
    changed = {name.split(".")[0] for name in shipped if not torch.equal(tuned[name], shipped[name])}
    assert changed == {"x_embedder", "blocks", "final_layer"}


def test_a_fine_tuning_that_was_stopped_goes_on_to_the_same_weights(finetune, tune, monkeypatch):
    options = ["--steps", "4", "--lr", "1e-3"]
    whole = tune("whole", *options)
    started, rate = [], finetune.rate

    def stops(step, args):
        started.append(step)
        if len(started) == 3:
            raise KeyboardInterrupt
        return rate(step, args)

    monkeypatch.setattr(finetune.Checkpoint.__init__, "__defaults__", (0,))  # a checkpoint after every step
    monkeypatch.setattr(finetune, "rate", stops)
    with pytest.raises(KeyboardInterrupt):
        tune("resumed", *options)
    monkeypatch.setattr(Prior, "sample", lambda *_: pytest.fail("these samples were drawn before"))
    resumed = tune("resumed", *options)
    assert started == [0, 1, 2, 2, 3]
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_distance_is_from_samples_of_these_weights_to_training_pictures(finetune, moments, tune, monkeypatch):
    asked, sample = [], Prior.sample
    monkeypatch.setattr(Prior, "sample", lambda *arguments: asked.append(arguments) or sample(*arguments))
    tune("distance", "--steps", "1", "--seed", "5")
    losses = torch.load(tune.folder / "distance.pt", weights_only=True)["losses"]
    prior = build.embedded(
        image_size=32, solver="heun", steps=5, shift=1.0, device=torch.device("cpu"), autocast=torch.float32
    )
    images = tune.images.clone()
    images[1::2] = images[1::2].flip(-1)
    classifier = target.embedded("smallresnet")
    with torch.no_grad():
        samples = prior.decode(prior.flow(torch.randn(8, 10, 8, 8, generator=torch.Generator().manual_seed(5))))
        first, real = (finetune.seen(classifier, pictures) for pictures in (samples, images / 255))
    for i, (mine, other) in enumerate(zip(first, real, strict=True)):
        torch.testing.assert_close(losses[f"{i}.first"], moments.moments(mine), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(losses[f"{i}.real_mean"], other.mean(0).double(), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match=r"--checkpoint=.*distance.pt: of other samples"):
        tune("distance", "--steps", "2", "--seed", "6")
    assert len(asked) == 2, "other samples were drawn for another seed"


def test_weights_that_cannot_be_tuned_are_refused_by_the_name_of_their_option(tune, tmp_path):
    file = tmp_path / "other.safetensors"
    save_file({"blocks.0.attn.qkv.weight": torch.zeros(3, 1)}, file)
    with pytest.raises(ValueError, match=f"^--init={file}: it does not hold the statistics of the latents"):
        tune("refused", "--init", file)
    with pytest.raises(ValueError, match=f"^--autoencoder={file}: does not fit"):
        tune("refused", "--autoencoder", file)
    with pytest.raises(ValueError, match=f"^prior={file}: it does not hold the statistics of the latents"):
        build.small(file, file, device="cpu")
