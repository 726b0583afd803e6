"""Make the embedded prior anew with one command: the autoencoder, the prior, their figures.

    python scripts/train_embedded.py --data FOLDER --recipe cpu

The classifiers come first: both parts read `smallresnet` from the package. What is finished is not done again, and what
was stopped goes on from its checkpoint: start the same command again. The recipe `cpu` spends what the shipped prior
took in all, some hours of two cores, without its detours (see the model card); `cuda` is longer, for one data-centre
GPU. Neither has been run as a whole yet.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from equidiff_cli.prior.build import EMBEDDED

RECIPES = {  # name: options of each training script
    "cpu": {
        "autoencoder": "--steps 1000",
        "prior": "--steps 4800 --decay 1500 --ema 0.99 --compile",
    },
    "cuda": {
        "autoencoder": "--steps 20000 --batch 128",
        "prior": "--steps 80000 --decay 25000 --batch 256 --ema 0.9995 --compile",
    },
}


def commands(recipe, data, out, checkpoints):
    """The command lines of `recipe`, by the file that each leaves in the folder `out`."""
    files = {"autoencoder": out / "autoencoder.safetensors", "prior": out / "lightningdit.safetensors"}
    made = {}
    for part, options in RECIPES[recipe].items():
        script = Path(__file__).parent / f"train_{part}.py"
        words = [script, "--data", data, "--checkpoint", checkpoints / f"{recipe}_{part}.pt", *options.split()]
        if part == "prior":
            words += ["--autoencoder", files["autoencoder"]]
        made[files[part]] = [sys.executable, *map(str, words), "--out", str(files[part])]
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder with CIFAR-10 (see scripts/cifar10.py)")
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/embedded"), help="folder [%(default)s]")
    args = parser.parse_args()
    for file, command in commands(args.recipe, args.data, args.out, args.out).items():
        if not file.exists():
            subprocess.run(command, check=True)
    print(f"copy {args.out}/*.safetensors to {EMBEDDED}, then: python scripts/measure_embedded.py --data {args.data}")


if __name__ == "__main__":
    main()
