"""Features are what the classifier sees."""

import pytest
import timm
import torch
from torch import nn

from equidiff_cli.study import features
from equidiff_cli.study.features import look, seen
from equidiff_cli.target.small import embedded
from equidiff_cli.target.target import Target


def pictures(n=5):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_last_layer_on_the_features_gives_the_logits():
    for name in ("smallconv", "smallresnet"):
        network = embedded(name)
        logits, features = look(network, pictures(), batch=2)
        torch.testing.assert_close(logits, network(pictures()))
        again = network.model.fc(features) * getattr(network.model, "logit_scale", 1)
        torch.testing.assert_close(again, logits)


def test_a_network_without_a_linear_layer_has_only_its_output():
    pool = Target(nn.Sequential(nn.AvgPool2d(8), nn.Flatten()), nn.Identity(), (), "pool")
    logits, features = look(pool, pictures(), batch=4)
    assert features.shape == (5, 48) and torch.equal(logits, features)


class Shuffled(nn.Module):
    """Its head is made before its body, and the last linear layer gates channels; the logits are scaled."""

    def __init__(self, head):
        super().__init__()
        self.head, self.conv, self.gate = head, nn.Conv2d(3, 16, 3), nn.Sequential(nn.Linear(16, 16), nn.Sigmoid())

    def before(self, x):
        x = self.conv(x).relu()
        return x * self.gate(x.mean((2, 3)))[..., None, None]

    def forward(self, x):
        x = self.before(x)
        linear = isinstance(self.head, nn.Linear)
        x = self.head(x.mean((2, 3))) if linear else self.head(x).relu().mean((2, 3))
        return (x * 0.5).softmax(1)


@pytest.mark.parametrize("head", [nn.Linear(16, 5), nn.Conv2d(16, 5, 1)], ids=["linear", "convolution"])
def test_the_classifier_is_what_makes_the_logits_not_the_last_layer_registered(head):
    network = Target(Shuffled(head), nn.Identity(), tuple("abcde"), "shuffled")
    logits, found = look(network, pictures(), batch=2)
    torch.testing.assert_close(found, network.model.before(pictures()).mean((2, 3)))
    torch.testing.assert_close(logits, network(pictures()))
    assert seen(network, pictures(1)) == "input of the classifier (head)"
    assert not any(module._forward_hooks for module in network.model.modules())


VIT = dict(img_size=32, patch_size=16, embed_dim=8, depth=1, num_heads=2)


def test_the_classifier_of_timm():
    network = Target(timm.models.VisionTransformer(**VIT, num_classes=3), nn.Identity(), tuple("abc"), "vit")
    logits, found = look(network, pictures(), batch=5)
    torch.testing.assert_close(network.model.head(found), logits)


@pytest.mark.parametrize("classes", [(), tuple("abcdefgh")], ids=["features", "numbered outputs"])
def test_a_network_without_a_head_has_its_output(classes):
    network = Target(timm.models.VisionTransformer(**VIT, num_classes=0), nn.Identity(), classes, "encoder")
    logits, found = look(network, pictures(), batch=4)
    assert found.shape == (5, 8) and torch.equal(logits, found)
    assert seen(network, pictures(1)) == "output of the network, which has no classifier that can be seen"


def test_too_many_numbers_are_refused_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(features, "MOST", 1000)
    maps = Target(nn.Conv2d(3, 2, 1), nn.Identity(), (), "maps")
    with pytest.raises(ValueError, match=r"^maps has no classifier and gives 2048 numbers a picture, too many to comp"):
        look(maps, pictures(), batch=2)


def test_what_is_no_module_has_its_output():
    class Colours:
        name, classes = "colours", ("red", "green", "blue")

        def __call__(self, x):
            return x.mean((2, 3))

    logits, found = look(Colours(), pictures(), batch=2)
    assert found.shape == (5, 3) and torch.equal(logits, found)


def test_the_hook_is_gone():
    network = embedded("smallconv")
    look(network, pictures(1), batch=1)
    assert not any(module._forward_pre_hooks for module in network.model.modules())
