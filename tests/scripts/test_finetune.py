"""Fine-tuning the prior through its sampler: the critics, and whole short trainings."""

import math
import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import softplus

from equidiff_cli.prior import embedded
from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.target import small
from scripts.shared import quality
from scripts.train import critics, finetune


@pytest.fixture(scope="module")
def classifier():
    return small.embedded("smallresnet")


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def drawing(seed=0):
    return torch.Generator().manual_seed(seed)


def linear_critic(channels):
    """A critic whose body does nothing, and which does not look at the spread."""
    torch.manual_seed(0)
    critic = critics.Critic(torch.nn.Identity(), channels, uniform(50, channels, 4, 4) * 3 + 1)
    with torch.no_grad():
        critic.last.weight[:, channels:] = 0
    return critic


def test_views_are_the_pictures_and_what_smallresnet_sees_at_four_depths(classifier):
    pictures = uniform(3, 3, 32, 32)
    unchanged, first, *others = critics.views(classifier, pictures, drawing())
    assert unchanged is pictures
    x = critics.disturbed(pictures, drawing())
    torch.testing.assert_close(first, torch.nn.functional.avg_pool2d(classifier.activations(x, "layer1"), 2))
    for name, view in zip(("layer2", "layer3", "layer4"), others, strict=True):
        torch.testing.assert_close(view, classifier.activations(x, name))
    assert [view.shape[1] for view in (first, *others)] == [channels for channels, _ in critics.LAYERS]


def test_smallresnet_sees_each_picture_moved_a_little_with_mirrored_edges_and_some_grain(monkeypatch):
    pictures = uniform(200, 3, 32, 32)
    padded = torch.nn.functional.pad(pictures, (critics.SHIFT,) * 4, mode="reflect")
    moved = 2 * critics.SHIFT + 1
    places = [padded[:, :, top : top + 32, left : left + 32] for top in range(moved) for left in range(moved)]
    noise = (torch.stack(places) - critics.disturbed(pictures, drawing())).square().mean((2, 3, 4)).sqrt()
    strength, place = noise.min(0)
    assert set(place.tolist()) == set(range(moved**2)), "every way of moving is drawn"
    assert strength.max() == pytest.approx(critics.GRAIN, rel=0.1) and strength.min() < 0.1 * critics.GRAIN
    monkeypatch.setattr(critics, "GRAIN", 0.0)
    assert all(
        torch.equal(mine, places[way][i])
        for i, (mine, way) in enumerate(zip(critics.disturbed(pictures, drawing()), place, strict=True))
    )


def test_what_a_critic_gets_is_normalised_by_real_views():
    real = uniform(50, 4, 4, 4) * 3 + 1
    x = linear_critic(4).normalise(real)
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(x.std((0, 2, 3)), torch.ones(4))


def test_a_critic_judges_every_place_and_sees_how_much_the_samples_of_a_group_differ(classifier):
    judges = critics.critics(critics.views(classifier, uniform(8, 3, 32, 32), drawing()))
    x = critics.views(classifier, uniform(16, 3, 32, 32, seed=1), drawing())
    x = [torch.cat([view[:8], view[:1].expand(8, -1, -1, -1)]) for view in x]  # the second group is all the same
    for critic, view, side in zip(judges, x, (8, 8, 8, 4, 2), strict=True):
        verdict = critic(critic.normalise(view))
        assert verdict.shape == (16, 1, side, side)
        assert not torch.allclose(verdict[0], verdict[8], atol=1e-4), "the same picture, in another company"
        torch.testing.assert_close(verdict[8:], verdict[8:9].expand(8, -1, -1, -1), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(verdict[8:], critic(critic.normalise(view[8:])), rtol=1e-3, atol=1e-4)
    assert judges[0](judges[0].normalise(x[0][:3])).shape == (3, 1, 8, 8), "fewer than a group"


def test_doubt_is_that_of_a_logistic_comparison():
    better, worse = torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, -2.0]])
    assert critics.doubt(better, worse).item() == pytest.approx((math.log(2) + math.log(1 + math.exp(-5))) / 2)


def test_restlessness_is_the_squared_norm_of_the_gradient():
    critic = linear_critic(4)
    x = uniform(4000, 4, 2, 2).requires_grad_()
    verdict = critic(x)
    (slope,) = torch.autograd.grad(verdict.mean((1, 2, 3)).sum(), x, retain_graph=True)
    found = critic.restlessness(x, verdict, drawing(1)).item()
    assert found == pytest.approx(slope[0].square().sum().item(), rel=0.1)


def test_the_losses_of_prior_and_critics():
    judges = torch.nn.ModuleList([linear_critic(4), linear_critic(2)])
    real = [uniform(8, c, 4, 4, seed=c) + 1 for c in (4, 2)]
    samples = [uniform(8, c, 4, 4, seed=c + 10).requires_grad_() for c in (4, 2)]
    verdicts = [[judge(judge.normalise(x)) for judge, x in zip(judges, both, strict=True)] for both in (real, samples)]
    wanted = sum(softplus(theirs - mine).mean() for theirs, mine in zip(*verdicts, strict=True))
    loss = critics.deception(judges, real, samples)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    for x, slope in zip(samples, torch.autograd.grad(loss, samples), strict=True):
        shift = 1e-3 * slope / slope.norm()
        moved = [other + shift if other is x else other for other in samples]
        fallen = critics.deception(judges, real, moved) - loss
        assert fallen.item() == pytest.approx(1e-3 * slope.norm().item(), rel=0.05)
    loss, right = critics.detection(judges, real, samples, 0.0, None)
    wanted = sum(softplus(mine - theirs).mean() for theirs, mine in zip(*verdicts, strict=True))
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    higher = [(a.mean((1, 2, 3)) > b.mean((1, 2, 3))).float().mean() for a, b in zip(*verdicts, strict=True)]
    torch.testing.assert_close(right, torch.stack(higher))
    fair, _ = critics.detection(judges, real, samples, 4.0, drawing())
    rest, generator = 0.0, drawing()
    for judge, theirs, mine in zip(judges, real, samples, strict=True):
        for x in judge.normalise(theirs), judge.normalise(mine):
            rest += 2.0 * critics.RIGOR * judge.restlessness(x, judge(x), generator).item()
    assert fair.item() == pytest.approx(loss.item() + rest, rel=1e-5)


def test_critics_learn_what_is_real_and_a_picture_can_learn_to_pass(classifier):
    """All of it in small: real pictures are smooth, samples are noise that may change."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)

    def real():
        coarse = torch.rand(8, 3, 4, 4, generator=generator)
        return torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")

    def with_views(pictures):
        return critics.views(classifier, pictures, generator)

    with torch.no_grad():
        judges = critics.critics(with_views(real()))
    samples = uniform(8, 3, 32, 32).requires_grad_()
    adam = torch.optim.Adam(judges.parameters(), lr=1e-3, betas=(0.0, 0.99))
    for _ in range(12):
        with torch.no_grad():
            both = with_views(real()), with_views(samples)
        loss, right = critics.detection(judges, *both, 1.0, generator)
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert right.min() > 0.9
    judges.requires_grad_(False)
    descent, losses = torch.optim.Adam([samples], lr=0.02), []
    for _ in range(30):
        loss = critics.deception(judges, with_views(real()), with_views(samples))
        descent.zero_grad()
        loss.backward()
        descent.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_the_last_samples_are_remembered():
    remembered = critics.Remembered(3, 2)
    generator = torch.Generator().manual_seed(0)
    values = torch.arange(8.0)[:, None, None, None].expand(-1, 3, 32, 32)
    for step, kept in enumerate(({0, 1}, {0, 1, 2, 3}, {0, 1, 2, 3, 4, 5}, {2, 3, 4, 5, 6, 7})):
        remembered.keep(values[2 * step : 2 * step + 2], step)
        assert set(remembered.draw(100, step, generator)[:, 0, 0, 0].tolist()) == kept


def test_the_rate_waits_rises_and_falls():
    args = SimpleNamespace(lr=2.0, warm=5, steps=40, decay=20)
    assert [finetune.rate(step, args) for step in (0, 4, 5, 9, 14, 20, 30, 39)] == pytest.approx(
        [0.0, 0.0, 0.2, 1.0, 2.0, 2.0, 1.0, 0.1]
    )


def test_real_pictures_are_drawn_from_all_and_half_are_mirrored():
    images = torch.arange(4, dtype=torch.uint8)[:, None, None, None] * 10 + torch.arange(2, dtype=torch.uint8)
    found = finetune.drawn(images, 400, torch.Generator().manual_seed(0))[:, 0, 0]
    assert found.dtype == torch.uint8 and set(map(tuple, found.tolist())) == {
        (10 * i + a, 10 * i + b) for i in range(4) for a, b in ((0, 1), (1, 0))
    }
    assert 0.4 < (found[:, 0] > found[:, 1]).float().mean() < 0.6


@pytest.fixture(scope="module")
def tune(tmp_path_factory):
    """Run the script on 20 pictures with the shipped weights; returns what it wrote."""
    folder = tmp_path_factory.mktemp("finetune")
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def call(name, *options):
        out = folder / f"{name}.safetensors"
        argv = ["--data", "none", "--init", WEIGHTS / "lightningdit.safetensors", "--out", out]
        argv += ["--autoencoder", WEIGHTS / "autoencoder.safetensors", "--checkpoint", folder / f"{name}.pt"]
        argv += ["--batch", "3", "--warm", "1", "--decay", "1", "--device", "cpu", *options]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["finetune", *map(str, argv)])
            patch.setattr(finetune.cifar10, "load", lambda *_: (images, None))
            patch.setattr(finetune, "NORMAL", 20)
            finetune.main()
        return load_file(out)

    call.folder, call.images = folder, images
    return call


def test_the_embeddings_and_the_statistics_stay_as_they_are(tune):
    shipped = load_file(WEIGHTS / "lightningdit.safetensors")
    unmoved = tune("unmoved", "--steps", "2", "--warm", "2", "--lr", "1e-3")
    assert unmoved.keys() == shipped.keys() and all(torch.equal(unmoved[name], shipped[name]) for name in shipped)
    tuned = tune("tuned", "--steps", "3", "--lr", "1e-2")
    changed = {name.split(".")[0] for name in shipped if not torch.equal(tuned[name], shipped[name])}
    assert changed == {"x_embedder", "blocks", "final_layer"}


def test_a_fine_tuning_that_was_stopped_goes_on_to_the_same_weights(tune, monkeypatch):
    options = ["--steps", "5", "--lr", "1e-3"]
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
    resumed = tune("resumed", *options)
    assert started == [1, 2, 3, 3, 4]
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_critics_see_real_pictures_through_the_decoder_and_samples_of_the_solver_asked_for(
    tune, monkeypatch, classifier
):
    judged, detection = [], finetune.detection
    monkeypatch.setattr(finetune, "autocast", lambda _: nullcontext())
    monkeypatch.setattr(finetune, "detection", lambda judges, *views: judged.append(views) or detection(judges, *views))
    tune("judged", "--steps", "1", "--seed", "5", "--turns", "3", "prior.solver=euler", "prior.steps=3")
    (real, samples, *_), *later = judged
    light = embedded.Embedded(image_size=32, solver="euler", steps=3, shift=1.0)
    prior = light.build(device=torch.device("cpu"), autocast=torch.float32)
    with torch.no_grad():
        generator = drawing(5)
        critics.disturbed(finetune.drawn(tune.images, 20, generator).float(), generator)  # for what is normal
        noise = torch.randn(3, 10, 8, 8, generator=generator)
        z = prior.decoder.encode(finetune.drawn(tune.images, 3, generator) / 127.5 - 1)
        wanted = critics.views(classifier, prior.decode((z - prior.mean) / prior.std), generator)
        drawn = critics.views(classifier, prior.decode(prior.flow(noise)), generator)
    for mine, other in zip((*real, *samples), (*wanted, *drawn), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)
    ours = {tuple(picture.flatten().tolist()) for picture in samples[0]}
    assert len(later) == 2, "steps of the critics on former samples, of which there are no others yet"
    assert all(tuple(picture.flatten().tolist()) in ours for _, former, *_ in later for picture in former[0])


def test_watching_writes_the_weights_so_far_and_tells_how_far_their_samples_are(tune, capsys):
    final = tune("watched", "--steps", "4", "--lr", "1e-3", "--watch", "2", "--watched", "6")
    file = tune.folder / "watched-2.safetensors"
    so_far = load_file(file)
    assert so_far.keys() == final.keys() and any(not torch.equal(so_far[name], final[name]) for name in final)
    line, _ = (line for line in capsys.readouterr().out.splitlines() if "Frechet" in line)
    told = float(re.fullmatch(r"step 2: Frechet distance (\S+) to training pictures", line)[1])
    solver = dict(solver="euler", steps=4, shift=1.0)
    prior = embedded.small(file, WEIGHTS / "autoencoder.safetensors", device="cpu", **solver)
    noise = torch.randn(6, *prior.latent_shape, generator=drawing())
    pictures = (prior.sample(noise, 6) * 255).round().byte()
    seen_by = small.embedded("smallconv")
    wanted = quality.distance(seen_by, pictures, quality.features(seen_by, tune.images))
    assert told == pytest.approx(wanted, rel=0.02), "the file holds half precision"
    unwatched = tune("unwatched", "--steps", "4", "--lr", "1e-3")
    assert all(torch.equal(unwatched[name], final[name]) for name in final), "looking changes nothing"


def test_what_was_stopped_while_watching_is_watched_when_the_training_goes_on(tune, monkeypatch, capsys):
    options, see = ["--steps", "2", "--lr", "1e-3", "--watch", "2", "--watched", "6"], finetune.features_of_samples

    def stops(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune, "features_of_samples", stops)
    with pytest.raises(KeyboardInterrupt):
        tune("unseen", *options)
    assert not (tune.folder / "unseen-2.safetensors").exists()
    monkeypatch.setattr(finetune, "features_of_samples", see)
    final = tune("unseen", *options)
    assert "step 2: Frechet distance" in capsys.readouterr().out
    seen = load_file(tune.folder / "unseen-2.safetensors")
    assert all(torch.equal(seen[name], final[name]) for name in final)


def test_weights_that_cannot_be_tuned_are_refused_by_the_name_of_their_option(tune, tmp_path):
    file = tmp_path / "other.safetensors"
    save_file({"blocks.0.attn.qkv.weight": torch.zeros(3, 1)}, file)
    with pytest.raises(ValueError, match=f"^--init={file}: it does not hold the statistics of the latents"):
        tune("refused", "--init", file)
    with pytest.raises(ValueError, match=f"^--autoencoder={file}: does not fit"):
        tune("refused", "--autoencoder", file)
    with pytest.raises(ValueError, match=f"^prior={file}: it does not hold the statistics of the latents"):
        embedded.small(file, file, device="cpu")
