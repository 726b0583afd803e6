"""Average the weights of trainings of one network that stayed near each other, such as those of `--watch`.

python scripts/average_weights.py first.safetensors second.safetensors --out average.safetensors

The average of such weights is often better than each of them (Wortsman et al. 2022, arXiv:2203.05482).
"""

import argparse

import torch
from safetensors.torch import save_file

from equidiff_cli.prior import weights


def averaged(states):
    """The mean of state dictionaries with the same names and shapes, in half precision; tensors that are not
    floating-point numbers are those of the first.

    Raises:
        ValueError: names or shapes differ.
    """
    first = states[0]
    if any({k: v.shape for k, v in state.items()} != {k: v.shape for k, v in first.items()} for state in states):
        raise ValueError("the files hold different networks")
    return {
        name: torch.stack([state[name].float() for state in states]).mean(0).half()
        if kind.is_floating_point()
        else kind
        for name, kind in first.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="safetensors with the weights")
    parser.add_argument("--out", required=True, help="write the average here, half precision safetensors")
    args = parser.parse_args()
    save_file(averaged([weights.read(file, "files") for file in args.files]), args.out)


if __name__ == "__main__":
    main()
