"""Average the weights of trainings of one network that stayed near each other, such as those of `--watch`.

python -m scripts.train.average first.safetensors second.safetensors --out average.safetensors

The average of such weights is often better than each of them (Wortsman et al. 2022, arXiv:2203.05482).
"""

import argparse

import torch

from equidiff_cli.weights.read import read
from scripts.shared.training import export


def averaged(files):
    """The mean of the weights in `files`, in half precision; tensors that are not floating-point numbers are those of
    the first.

    Raises:
        ValueError: a file holds other names or shapes than the first.
    """
    first, *others = states = [read(file, "files") for file in files]
    wanted = {name: tuple(value.shape) for name, value in first.items()}
    for file, state in zip(files[1:], others, strict=True):
        found = {name: tuple(value.shape) for name, value in state.items()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                raise ValueError(
                    f"files={file}: {name} is {found.get(name, 'missing')}; accepted: the network of {files[0]}, where"
                    f" it is {wanted.get(name, 'missing')}"
                )
    return {
        name: torch.stack([state[name].float() for state in states]).mean(0).half()
        if kind.is_floating_point()
        else kind
        for name, kind in first.items()
    }


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="safetensors with the weights")
    parser.add_argument("--out", required=True, help="write the average here, half precision safetensors")
    return parser


def main():
    args = parser().parse_args()
    export(averaged(args.files), args.out)


if __name__ == "__main__":
    main()
