"""Features are what the classifier sees."""

import torch
from torch import nn

from equidiff_cli.study.features import look
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


def test_the_hook_is_gone():
    network = embedded("smallconv")
    look(network, pictures(1), batch=1)
    assert not any(module._forward_pre_hooks for module in network.model.modules())
