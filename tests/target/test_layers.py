"""Every layer at once, and those that cannot be seen."""

import pytest
import timm
import torch
from torch import nn

from equidiff_cli.target import layers
from equidiff_cli.target.listing import listed
from equidiff_cli.target.target import Target

X = torch.full((1, 3, 8, 8), 0.5)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.gru = nn.Conv2d(3, 4, 2, 2), nn.ReLU(), nn.GRU(4, 2, batch_first=True)
        self.unused, self.fc = nn.Linear(2, 2), nn.Linear(2, 3)

    def forward(self, x):
        x = self.act(self.conv(x)).flatten(2).mT
        return self.fc(self.act(self.gru(x)[0]).mean(1))


def test_the_list_has_type_calls_shape_and_channels():
    target = Target(Net(), nn.Identity(), ["a", "b", "c"], "net")
    assert listed(target, X) == [
        ("conv", "Conv2d", "1", "(1, 4, 4, 4)", "first"),
        ("act", "ReLU", "2", "(1, 4, 4, 4) | (1, 16, 2)", "first | ?"),
        ("gru", "GRU", "1", "a tuple of (1, 16, 2), (1, 1, 2)", ""),
        ("unused", "Linear", "0", "", ""),
        ("fc", "Linear", "1", "(1, 3)", ""),
    ]
    assert not any(module._forward_hooks for module in target.model.modules())


def test_the_list_has_attention_weights_and_channels_last():
    sizes = dict(img_size=8, patch_size=4, embed_dim=8, depth=1, num_heads=2, num_classes=3)
    model = timm.models.VisionTransformer(**sizes)
    model.blocks[0].attn.fused_attn = True
    rows = {row[0]: row[1:] for row in listed(Target(model, nn.Identity(), ["a", "b", "c"], "vit"), X)}
    assert rows["blocks.0.attn.attn_drop"] == ("Dropout", "1", "(1, 2, 5, 5)", "first")
    assert rows["blocks.0"] == ("Block", "1", "(1, 5, 8)", "last")
    assert model.blocks[0].attn.fused_attn is True


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("script", [torch.jit.script, lambda net: torch.jit.trace(net, X)])
def test_scripted_networks_are_named_as_such(script):
    network = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten())
    scripted = script(network)
    with pytest.raises(ValueError, match=r"^objective.layer=0: net is scripted \(torch.jit\), and what the layers of"):
        layers.outputs(scripted, lambda: scripted(X), "0", "net")


def test_a_network_without_layers_lists_none():
    with pytest.raises(ValueError, match=r"^target=net: has no layers that can be named$"):
        listed(Target(nn.Flatten(), nn.Identity(), (), "net"), X)
