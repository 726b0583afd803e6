"""The training of the embedded classifiers: what they learn from, and a whole short training on pictures made here."""

import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from equidiff_cli.prior.build import EMBEDDED


@pytest.fixture(scope="module")
def train_classifier(script):
    return script("train_classifier")


def test_a_rectangle_of_another_picture_takes_the_share_that_is_told(script):
    n, side = 400, 16
    images = torch.arange(n, dtype=torch.float32)[:, None, None, None].expand(n, 3, side, side)
    mixed, other, share = script("cifar10").random_mix(images, torch.Generator().manual_seed(0))
    assert sorted(other.tolist()) == list(range(n))
    inside = mixed == other.float()[:, None, None, None]
    assert (inside | (mixed == images)).all()
    moved = other != torch.arange(n)  # where a picture meets itself, nothing is seen
    torch.testing.assert_close(share[moved], inside[moved].float().mean((1, 2, 3)), atol=0, rtol=0)
    rows, columns = inside.any(3).sum(2), inside.any(2).sum(2)  # a rectangle is all of its rows and columns
    assert torch.equal((rows * columns)[moved], inside.sum((2, 3))[moved])
    assert share.min() < 0.02 and share.max() > 0.8
    assert 0.3 < share.mean() < 0.5, "one half, less what falls outside"


def test_labels_are_shared_as_the_area_is(train_classifier):
    found = train_classifier.soft_labels(
        torch.tensor([2, 0, 1]), torch.tensor([1, 0, 2]), torch.tensor([0.25, 0.5, 0.0]), classes=3
    )
    torch.testing.assert_close(found, torch.tensor([[0.25, 0, 0.75], [0.5, 0, 0.5], [0, 1, 0]]))


def test_the_calibration_error_is_the_gap_of_confidence_and_accuracy(train_classifier):
    logits = torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.6, 0.4], [0.4, 0.6]]).log()
    labels = torch.tensor([0, 1, 0, 0])  # sure by 0.8 and half right, twice; sure by 0.6 and half right
    assert train_classifier.calibration_error(logits, labels) == pytest.approx((2 * 0.3 + 2 * 0.1) / 4)


def test_the_first_filters_whiten_what_they_see(train_classifier):
    images = torch.randn(64, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    images = F.avg_pool2d(images, 3, 1) * torch.tensor([3.0, 2.0, 1.0])[:, None, None]
    layer = torch.nn.Conv2d(3, 24, 2)
    train_classifier.whiten(layer, images)
    seen = layer(images).detach().transpose(0, 1).flatten(1)
    torch.testing.assert_close(seen[:12], -seen[12:])
    covariance = torch.cov(seen[:12])
    assert (covariance - torch.diag(covariance.diag())).abs().max() < 0.01
    assert (covariance.diag() > 0.5).all() and (covariance.diag() < 1.01).all()
    assert not layer.weight.requires_grad


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


def test_a_training_that_was_stopped_ends_with_the_same_weights(train_classifier, folder, monkeypatch):
    options = ["--mix", "--init", EMBEDDED / "smallresnet.safetensors"]
    whole = run(train_classifier, folder, "whole", *options)
    shares, soft_labels = [], train_classifier.soft_labels

    def stops(labels, other, share):
        shares.append(share)
        if len(shares) == 6:  # in the second epoch of four steps
            raise KeyboardInterrupt
        return soft_labels(labels, other, share)

    monkeypatch.setattr(train_classifier, "soft_labels", stops)
    with pytest.raises(KeyboardInterrupt):
        run(train_classifier, folder, "resumed", *options)
    resumed = run(train_classifier, folder, "resumed", *options)
    assert len(shares) == 10, "five steps, one that was stopped, the second epoch again"
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_networks_are_consistent_in_their_errors_beyond_chance(script):
    consistency = script("measure_embedded").error_consistency
    first = torch.tensor([1, 1, 1, 0], dtype=torch.bool).repeat(4)
    assert consistency(first, first) == pytest.approx(1)
    second = torch.tensor([1, 1, 1, 0], dtype=torch.bool).repeat_interleave(4)  # in all pairs with the first
    assert consistency(first, second) == pytest.approx(0)
    third = torch.tensor([0, 1, 1, 1], dtype=torch.bool).repeat(4)
    assert consistency(first, third) == pytest.approx((0.5 - 0.625) / 0.375)
