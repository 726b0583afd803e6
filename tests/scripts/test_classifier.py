"""The training of the embedded classifiers: what they learn from, and a whole short training on pictures made here."""

import pickle
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from equidiff_cli.shipped import WEIGHTS
from equidiff_cli.target import small
from scripts.measure.embedded import error_consistency
from scripts.shared import cifar10, training
from scripts.shared.classifying import calibration_error
from scripts.train import calibrate, classifier


def test_a_rectangle_of_another_picture_takes_the_share_that_is_told():
    n, side = 400, 16
    images = torch.arange(n, dtype=torch.float32)[:, None, None, None].expand(n, 3, side, side)
    mixed, other, share = cifar10.random_mix(images, torch.Generator().manual_seed(0))
    assert sorted(other.tolist()) == list(range(n))
    inside = mixed == other.float()[:, None, None, None]
    assert (inside | (mixed == images)).all()
    moved = other != torch.arange(n)  # where a picture meets itself, nothing is seen
    torch.testing.assert_close(share[moved], inside[moved].float().mean((1, 2, 3)), atol=0, rtol=0)
    rows, columns = inside.any(3).sum(2), inside.any(2).sum(2)  # a rectangle is all of its rows and columns
    assert torch.equal((rows * columns)[moved], inside.sum((2, 3))[moved])
    assert share.min() < 0.02 and share.max() > 0.8
    assert 0.3 < share.mean() < 0.5, "one half, less what falls outside"


def test_pictures_are_mirrored_or_shifted_by_so_many_pixels_with_mirrored_edges():
    n = 600
    image = torch.rand(1, 3, 8, 9, generator=torch.Generator().manual_seed(1))
    flipped = cifar10.random_flip(image.expand(n, -1, -1, -1), torch.Generator().manual_seed(0))
    mirrored = (flipped == image.flip(-1)).all((1, 2, 3))
    assert (mirrored | (flipped == image).all((1, 2, 3))).all() and 0.4 < mirrored.float().mean() < 0.6
    padded = F.pad(image, (2,) * 4, mode="reflect")[0]
    shifted = cifar10.random_shift(image.expand(n, -1, -1, -1), 2, torch.Generator().manual_seed(0))
    places = [padded[:, top : top + 8, left : left + 9] for top in range(5) for left in range(5)]
    counts = [(shifted == place).all((1, 2, 3)).sum().item() for place in places]
    assert sum(counts) == n and min(counts) > 0


def test_one_square_of_each_picture_is_blanked_anywhere():
    images = torch.ones(600, 2, 8, 8)
    blank = cifar10.random_erase(images, 5, torch.Generator().manual_seed(0)) == 0
    assert torch.equal(blank[:, 0], blank[:, 1])
    tops, lefts = (blank[:, 0].any(axis).float().argmax(1) for axis in (2, 1))
    assert set(zip(tops.tolist(), lefts.tolist(), strict=True)) == {(y, x) for y in range(4) for x in range(4)}
    for picture, top, left in zip(blank[:, 0], tops, lefts, strict=True):
        assert picture.sum() == 25 and picture[top : top + 5, left : left + 5].all()


def test_labels_are_shared_as_the_area_is():
    found = classifier.soft_labels(
        torch.tensor([2, 0, 1]), torch.tensor([1, 0, 2]), torch.tensor([0.25, 0.5, 0.0]), classes=3
    )
    torch.testing.assert_close(found, torch.tensor([[0.25, 0, 0.75], [0.5, 0, 0.5], [0, 1, 0]]))


def test_the_calibration_error_is_the_gap_of_confidence_and_accuracy():
    logits = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.6, 0.4], [0.4, 0.6]]).log()
    labels = torch.tensor([0, 1, 0, 0])  # sure by 0.8 and half right, twice; sure by 0.6 and half right
    assert calibration_error(logits, labels) == pytest.approx((2 * 0.3 + 2 * 0.1) / 4)


def test_the_first_filters_whiten_what_they_see():
    images = torch.randn(64, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    images = F.avg_pool2d(images, 3, 1) * torch.tensor([3.0, 2.0, 1.0])[:, None, None]
    layer = torch.nn.Conv2d(3, 24, 2)
    classifier.whiten(layer, images)
    seen = layer(images).detach().transpose(0, 1).flatten(1)
    torch.testing.assert_close(seen[:12], -seen[12:])
    covariance = torch.cov(seen[:12])
    assert (covariance - torch.diag(covariance.diag())).abs().max() < 0.01
    assert (covariance.diag() > 0.5).all() and (covariance.diag() < 1.01).all()
    assert not layer.weight.requires_grad


def test_the_average_follows_the_weights_and_what_batch_norm_has_seen():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    average = training.Average(model, 0.2)
    wanted = {name: value.clone() for name, value in average.model.state_dict().items()}
    for step, decay in enumerate((1 / 10, 2 / 11, 0.2, 0.2)):  # at first less than asked for
        with torch.no_grad():
            for value in model.state_dict().values():
                value.add_(step + 1)
        average.update(model, step)
        for name, value in model.state_dict().items():
            exact = value.is_floating_point()
            wanted[name] = decay * wanted[name] + (1 - decay) * value if exact else value.clone()
    for name, value in average.model.state_dict().items():
        torch.testing.assert_close(value, wanted[name])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """20 training and 8 test pictures in the form of the original distribution."""
    folder, rng = tmp_path_factory.mktemp("cifar10"), np.random.default_rng(0)
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    for name, n in [*((f"data_batch_{i}", 4) for i in range(1, 6)), ("test_batch", 8)]:
        batch = {b"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8), b"labels": list(range(n))}
        (batches / name).write_bytes(pickle.dumps(batch))
    return folder


def run(module, folder, name, *options):
    argv = ["train", "smallresnet", "--data", folder, "--checkpoint", folder / f"{name}.pt", "--batch", "5"]
    argv += ["--out", folder / f"{name}.safetensors", "--device", "cpu", "--epochs", "2", *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", list(map(str, argv)))
        module.main()
    return load_file(folder / f"{name}.safetensors")


def test_a_training_that_was_stopped_ends_with_the_same_weights(folder, monkeypatch):
    options = ["--mix", "--init", WEIGHTS / "smallresnet.safetensors"]
    whole = run(classifier, folder, "whole", *options)
    shares, soft_labels = [], classifier.soft_labels

    def stops(labels, other, share):
        shares.append(share)
        if len(shares) == 6:  # in the second epoch of four steps
            raise KeyboardInterrupt
        return soft_labels(labels, other, share)

    monkeypatch.setattr(classifier, "soft_labels", stops)
    with pytest.raises(KeyboardInterrupt):
        run(classifier, folder, "resumed", *options)
    resumed = run(classifier, folder, "resumed", *options)
    assert len(shares) == 10, "five steps, one that was stopped, the second epoch again"
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_training_smooths_labels_and_averages_as_it_is_told(folder, monkeypatch):
    smoothed, decays, loss, average = [], [], F.cross_entropy, classifier.Average

    def cross_entropy(output, goal, label_smoothing):
        smoothed.append(label_smoothing)
        return loss(output, goal, label_smoothing=label_smoothing)

    monkeypatch.setattr(classifier.F, "cross_entropy", cross_entropy)
    monkeypatch.setattr(classifier, "Average", lambda *args: decays.append(args[1]) or average(*args))
    run(classifier, folder, "told", "--smoothing", "0.25", "--ema", "0.5")
    assert smoothed == [0.25] * 8 and decays == [0.5]


def test_logits_are_scaled_to_the_least_cross_entropy_on_the_first_pictures(monkeypatch, tmp_path, capsys):
    pictures = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 32, 32), dtype=torch.uint8, generator=pictures)
    trained = small.embedded("smallresnet")
    torch.manual_seed(0)
    with torch.no_grad():
        logits = trained(images / 255)
        labels = torch.distributions.Categorical(logits=logits * 0.3).sample()  # less sure than the network is
        for parameter in trained.model.fc.parameters():
            parameter.mul_(1.7)
    save_file(trained.model.state_dict(), tmp_path / "trained.safetensors")
    monkeypatch.setattr(calibrate, "CHOOSING", 40)
    monkeypatch.setattr(calibrate.cifar10, "load", lambda *_: (images, labels))
    argv = ["calibrate", "smallresnet", "--data", "none", "--init", str(tmp_path / "trained.safetensors")]
    monkeypatch.setattr("sys.argv", [*argv, "--out", str(tmp_path / "scaled.safetensors")])
    calibrate.main()
    before, after = (load_file(tmp_path / f"{name}.safetensors") for name in ("trained", "scaled"))
    scale = float(re.match(r"logits scaled by (\S+);", capsys.readouterr().out)[1])
    loss = [F.cross_entropy(logits[:40] * 1.7 * scale * x, labels[:40]) for x in (0.97, 1, 1.03)]
    assert loss[1] < min(loss[0], loss[2])
    for name, value in before.items():
        wanted = value * scale if name.startswith("fc.") else value
        torch.testing.assert_close(after[name].float(), wanted.float(), rtol=2e-3, atol=1e-6)
    monkeypatch.setattr("sys.argv", [*argv[:-1], "none.safetensors", "--out", "out"])
    with pytest.raises(ValueError, match=r"^--init=none\.safetensors: cannot be opened"):
        calibrate.main()


def test_networks_are_consistent_in_their_errors_beyond_chance():
    first = torch.tensor([1, 1, 1, 0], dtype=torch.bool).repeat(4)
    assert error_consistency(first, first) == pytest.approx(1)
    second = torch.tensor([1, 1, 1, 0], dtype=torch.bool).repeat_interleave(4)  # in all pairs with the first
    assert error_consistency(first, second) == pytest.approx(0)
    third = torch.tensor([0, 1, 1, 1], dtype=torch.bool).repeat(4)
    assert error_consistency(first, third) == pytest.approx((0.5 - 0.625) / 0.375)
