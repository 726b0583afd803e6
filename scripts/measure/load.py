"""How long the published layout takes to load, and how much memory beside what the imports use.

    python -m scripts.measure.load prior=lightningdit_xl prior.network=... prior.decoder=... prior.stats=...

Run it twice: the first time it makes the copies in the cache, the second time it reads them.
"""

import argparse
import time
from pathlib import Path

import torch

from equidiff_cli.engine.device import peak_memory
from equidiff_cli.prior import published  # noqa: F401  what the imports use is not the loader's
from equidiff_cli.request.light import light_prior
from equidiff_cli.request.schema import composed


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", help="as for equidiff run: the prior and its files")
    return parser


def main():
    overrides = parser().parse_args().overrides
    light, device = light_prior(composed(*overrides)), torch.device("cpu")
    size = sum(Path(source.path).stat().st_size for source in light.sources()) / 2**20
    before, started = peak_memory(device), time.perf_counter()
    prior = light.build(device=device, autocast=torch.float32)
    seconds, loaded = time.perf_counter() - started, peak_memory(device)
    total = sum(p.double().sum().item() for part in (prior.network, prior.decoder) for p in part.parameters())
    print(f"files {size:.0f} MiB; loaded in {seconds:.1f} s")
    for what, peak in (("after loading", loaded), ("after every weight was read", peak_memory(device))):
        extra = peak - before
        print(f"peak memory {what}: {extra:.0f} MiB above the {before:.0f} of the imports, {extra / size:.2f} x")
    print(f"sum of the weights {total:.6g}")


if __name__ == "__main__":
    main()
