"""Files in the layout of the published models, filled with random numbers: to try what the weights are needed for.

    python -m tests.helpers.layout FOLDER                    full size, 3.2 GB
    python -m tests.helpers.layout FOLDER --small            64 x 64 pictures, below 1 MB
    python -m tests.helpers.layout FOLDER --prior imf        of another prior: facm, ucgm, imf (size B), sit_xl

Prints the arguments with which `equidiff run` takes them. To be started in the root of the repository.
"""

import argparse
import itertools
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from equidiff_cli.prior import meanflow
from equidiff_cli.prior.imf import ImprovedMeanFlow
from equidiff_cli.prior.lightningdit import LightningDiT

OTHERS = {  # options of the transformer that are not those of XL/1
    "facm": dict(use_qknorm=True),
    "ucgm": {},
    "sit_xl": dict(
        input_size=32,
        patch_size=2,
        in_channels=4,
        use_swiglu=False,
        use_rope=False,
        use_rmsnorm=False,
        learn_sigma=True,
    ),
}
SMALL = {  # 4 x 4 latents, 64 x 64 pictures
    "architecture": dict(input_size=4, in_channels=8, hidden_size=32, depth=2, num_heads=2, num_classes=10),
    "autoencoder": dict(
        latent_channels=8,
        block_out_channels=[8, 8, 16, 16, 16],
        layers_per_block=1,
        attention_levels=[4],
        norm_num_groups=4,
    ),
}


def backwards(published, ours):
    r"""A row of `autoencoder.RENAMES` the other way round.

    (r"\.down\.(\d+)\.", r".down_blocks.\1.") -> (r"\.down_blocks\.(\d+)\.", r".down.\1."): what the groups stand for
    goes from one side to the other.
    """
    groups, numbers = iter(re.findall(r"\(.+?\)", published)), itertools.count(1)
    pattern = re.sub(r"\\\\\d", lambda _: next(groups), re.escape(ours))
    return pattern, re.sub(r"\(.+?\)", lambda _: f"\\{next(numbers)}", published).replace(r"\.", ".")


def published_name(name, levels):
    """A name of `autoencoder.build` -> the name in the published file."""
    from equidiff_cli.prior import autoencoder  # with diffusers, for the tests that need it

    for row in reversed(autoencoder.RENAMES):
        name = re.sub(*backwards(*row), name)
    return re.sub(r"\.up_blocks\.(\d+)\.", lambda match: f".up.{levels - 1 - int(match[1])}.", name)


def random_state(build, seed):
    """Tensors for the module of `build()`, scaled so that signals keep their size."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in build().state_dict().items()}
    generator, state = torch.Generator().manual_seed(seed), {}
    for name, shape in shapes.items():
        if len(shape) < 2:
            state[name] = torch.full(shape, 1.0 if name.endswith("weight") else 0.0)
        else:
            state[name] = torch.randn(shape, generator=generator).mul_(0.5 * shape[1:].numel() ** -0.5)
    return state


def transformer(**options):
    """What the published transformer file holds."""
    tables = LightningDiT(**options | dict(depth=1)).state_dict()  # the fixed tables do not depend on the depth
    state = random_state(lambda: LightningDiT(**options), seed=0)
    return {"ema": state | {name: tables[name] for name in state if name == "pos_embed" or "feat_rope" in name}}


def post_hoc(state):
    """The same in the form that FACM is trained in: raw weights, and two averages, of which the second is used."""
    kept = {f"ema_models.1.ema_model.{name}": tensor for name, tensor in state.items()}
    kept |= {f"ema_models.0.ema_model.{name}": torch.zeros_like(tensor) for name, tensor in state.items()}
    counts = {f"ema_models.{i}.{name}": torch.tensor(1) for i in range(2) for name in ("initted", "step")}
    return {"model": {name: tensor + 1 for name, tensor in state.items()}, "emas": kept | counts}


def mean_flow(**options):
    """What the published file of improved MeanFlow holds."""
    state = random_state(lambda: ImprovedMeanFlow(**options), seed=0)
    width = state["class_tokens"].shape[1]
    state |= {"v_final_layer.norm.weight": torch.ones(width)}  # in the file, and not needed
    return {published_mean_flow_name(name): tensor for name, tensor in state.items()}


def published_mean_flow_name(name):
    """A name of `ImprovedMeanFlow` -> the name in the published file."""
    name = re.sub(r"(embedding_table)\.", r"\1._flax_embedding.", name)
    name = re.sub(r"(_proj|mlp\.w\d|mlp\.\d|u_final_layer\.linear)\.(weight|bias)$", r"\1._flax_linear.\2", name)
    return f"net.{name}"


def diffusers_vae(**options):
    """What an autoencoder's file of diffusers holds, with the names of attention that it had before version 0.18."""
    from equidiff_cli.prior import autoencoder  # with diffusers, for the tests that need it

    state = random_state(lambda: autoencoder.build(**options), seed=1)
    older = {new: old for old, new in autoencoder.OLDER.items()}
    return {
        re.sub(r"(attentions\.\d+)\.(to_out\.0|to_\w)\.", lambda match: f"{match[1]}.{older[match[2]]}.", name): tensor
        for name, tensor in state.items()
    }


def vae(**options):
    """What the published autoencoder file holds, with some of what only training needs."""
    from equidiff_cli.prior import autoencoder  # with diffusers, for the tests that need it

    state = random_state(lambda: autoencoder.build(**options), seed=1)
    levels = len(options.get("block_out_channels", range(5)))
    published = {}
    for name, tensor in state.items():
        if ".attentions." in name and tensor.ndim == 2:
            tensor = tensor[..., None, None]  # 1 x 1 kernels
        published[published_name(name, levels)] = tensor
    training = {name: torch.zeros(2) for name in ("loss.logvar", "foundation_model.x", "linear_proj.weight")}
    return {"state_dict": published | training, "global_step": 1}


def statistics(channels):
    """What the published statistics file holds."""
    return {"mean": torch.full((1, channels, 1, 1), 0.1), "std": torch.full((1, channels, 1, 1), 1.5)}


def write(folder, architecture=None, autoencoder=None):
    """Write the three files; returns their paths by the name of the key that takes them."""
    architecture, autoencoder = architecture or {}, autoencoder or {}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.pt" for name in ("network", "decoder", "stats")}
    torch.save(transformer(**architecture), files["network"])
    torch.save(vae(**autoencoder), files["decoder"])
    torch.save(statistics(architecture.get("in_channels", 32)), files["stats"])
    return files


def write_other(folder, prior):
    """Write the files of another published prior, full size; returns their paths by the name of the key."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.pt" for name in ("network", "decoder", "stats")}
    torch.save(mean_flow() if prior == "imf" else transformer(**OTHERS[prior]), files["network"])
    if prior in ("imf", "sit_xl"):
        del files["stats"]
        files["decoder"] = files["decoder"].with_suffix(".safetensors")
        save_file(diffusers_vae(**meanflow.AUTOENCODER), files["decoder"])
    else:
        torch.save(vae(), files["decoder"])
        torch.save(statistics(32), files["stats"])
    return files


def arguments(files, architecture=None, autoencoder=None):
    """The arguments of `equidiff run` for these files."""
    words = [f"prior.{name}={path}" for name, path in files.items()]
    if architecture is None:
        return ["prior=lightningdit_xl", *words]
    options = dict(architecture=architecture, autoencoder=autoencoder)
    size = architecture["input_size"] * 2 ** (len(autoencoder["block_out_channels"]) - 1)
    words += [
        f"prior.{group}.{key}={str(value).replace(' ', '')}"
        for group, values in options.items()
        for key, value in values.items()
    ]
    return ["prior=local", f"prior.image_size={size}", *words]


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="64 x 64 pictures instead of the full size")
    parser.add_argument("--prior", choices=("imf", *OTHERS), help="another prior than lightningdit_xl, full size")
    return parser


def main():
    given = parser().parse_args()
    if given.prior:
        files = write_other(given.folder.resolve(), given.prior)
        print(f"prior={given.prior}", *(f"prior.{name}={path}" for name, path in files.items()))
        return
    sizes = SMALL if given.small else {}
    print(" ".join(arguments(write(given.folder.resolve(), **sizes), **sizes)))


if __name__ == "__main__":
    main()
