"""A table of finished runs, one row each; reads run directories from the command line or standard input.

equidiff run -m optimizer=shampoo,sgd optimizer.lr=0.25,0.5 | xargs python -m scripts.measure.compare
"""

import argparse
import statistics

import numpy as np

from equidiff_cli.runs.reader import read


def row(run):
    """How a finished `Run` did with its settings: convergence, steps, error on the saved pictures, latent norm."""
    gap = [np.atleast_1d(np.subtract(record["objective_saved"], record["target"])) for record in run.records]
    error = [np.linalg.norm(g) / run.summary["null_spread"] ** 0.5 for g in gap]
    steps = [record["steps"] for record in run.records]
    norms = [record["latent_norm"] for record in run.records]
    length = f"{np.mean(norms) / run.dimensions**0.5:.3f}" if None not in norms else "–"  # of white noise: 1
    return {
        "settings": " ".join(run.overrides) or "defaults",
        "converged": f"{run.counts['converged']} of {len(run.records)}",
        "steps (median, most)": f"{statistics.median(steps):g}, {max(steps)}",
        "error on file (median, most), null spreads": f"{statistics.median(error):.4f}, {max(error):.4f}",
        "latent norm / white noise": length,
        "seconds": f"{run.summary['wall_seconds']:.0f}",
    }


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run directories")
    return parser


def main():
    rows = [row(read(directory)) for directory in parser().parse_args().runs]
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for values in rows:
        print("| " + " | ".join(values.values()) + " |")


if __name__ == "__main__":
    main()
