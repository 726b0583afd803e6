"""Small parts to run the loop on: a prior of a few thousand random weights, and ways to call the command."""

import os
import subprocess
import sys

import pytest
import torch

from equidiff_cli.prior import autoencoder
from equidiff_cli.prior.lightningdit import LightningDiT
from equidiff_cli.prior.prior import Prior

torch.set_num_threads(2)


@pytest.fixture(scope="session")
def tiny_prior():
    """8 x 8 pictures from 4 x 4 latents with 4 channels; random weights that are far from zero everywhere."""
    torch.manual_seed(0)
    network = LightningDiT(input_size=4, in_channels=4, hidden_size=16, depth=2, num_heads=2, num_classes=3)
    decoder = autoencoder.build(
        latent_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        attention_levels=(),
        sample_size=8,
        norm_num_groups=4,
    )
    for module in (network, decoder):
        module.requires_grad_(False).eval()
    statistics = torch.zeros(1, 4, 1, 1), torch.ones(1, 4, 1, 1)
    return Prior(network, decoder, *statistics, solver="euler", steps=4, shift=0.3)


@pytest.fixture
def equidiff(tmp_path):
    """Run the command in `tmp_path` as a user would; returns the completed process."""

    def call(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "equidiff_cli.cli", *arguments],
            cwd=options.pop("cwd", tmp_path),
            capture_output=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | options.pop("env", {}),
            text=options.pop("text", True),
            timeout=300,
            **options,
        )

    return call
