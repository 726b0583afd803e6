"""Make the embedded prior anew with one command: the autoencoder, a flow model of its latents, tuning for few steps.

    python -m scripts.train.embedded --data FOLDER --recipe cpu

The classifiers come first: all parts read `smallresnet` from the package. What is finished is not done again, and what
was stopped goes on from its checkpoint: start the same command again. The recipe `cuda` is near that of the shipped
models: it has the first two parts of the prior's training, about seven minutes of one data-centre GPU (see the model
card), and trains the autoencoder in one cycle instead of two. `cpu` is a fraction of it, for some hours of two cores
by estimate. Neither has been run by this one command as a whole.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from equidiff_cli.shipped import WEIGHTS

AUTOENCODER = "scripts.train.autoencoder --steps 1300"
RECIPES = {  # name: the file that each training leaves, its module and options; {file} is what another one left
    "cpu": {
        "autoencoder": AUTOENCODER,
        "flow": "scripts.train.prior --autoencoder {autoencoder} --steps 4800 --decay 1500 --ema 0.99 --compile",
        "lightningdit": "scripts.train.finetune --autoencoder {autoencoder} --init {flow} --steps 600 --decay 1"
        " --compile",
    },
    "cuda": {
        "autoencoder": AUTOENCODER,
        "flow": "scripts.train.prior --autoencoder {autoencoder} --batch 512 --steps 7300 --decay 3600 --ema 0.999"
        " --compile",
        "lightningdit": "scripts.train.finetune --autoencoder {autoencoder} --init {flow} --batch 256 --lr 6e-5"
        " --warm 100 --steps 700 --decay 1 --ema 0.995 --compile",
    },
}


def commands(recipe, data, out):
    """The command lines of `recipe`, by the file that each leaves in the folder `out`."""
    files = {name: out / f"{name}.safetensors" for name in RECIPES[recipe]}
    made = {}
    for name, line in RECIPES[recipe].items():
        module, *options = line.split()
        options = [option.format(**files) for option in options]
        checkpoint = out / f"{recipe}_{name}.pt"  # a training of one recipe must not go on with the other
        words = ["-m", module, "--data", data, "--checkpoint", checkpoint, *options, "--out", files[name]]
        made[files[name]] = [sys.executable, *map(str, words)]
    return made


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder with CIFAR-10 (see scripts/shared/cifar10.py)")
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/embedded"), help="folder [%(default)s]")
    return parser


def main():
    args = parser().parse_args()
    for file, command in commands(args.recipe, args.data, args.out).items():
        if not file.exists():
            subprocess.run(command, check=True)
    print(f"copy autoencoder.safetensors and lightningdit.safetensors from {args.out} to {WEIGHTS}")
    print(f"and see what it is like: python -m scripts.measure.embedded --data {args.data}")


if __name__ == "__main__":
    main()
