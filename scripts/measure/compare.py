"""A table of finished runs, one row each; reads run directories from the command line or standard input.

equidiff run -m optimizer=shampoo,sgd optimizer.lr=0.25,0.5 | xargs python -m scripts.measure.compare
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import load_file


def row(directory):
    """What one run directory says of its settings: convergence, steps, error on the saved pictures, latent norm."""
    directory = Path(directory)
    summary = json.loads((directory / "summary.json").read_text())
    records = [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]
    overrides = yaml.safe_load((directory / ".hydra" / "overrides.yaml").read_text())
    gap = [np.atleast_1d(np.subtract(r["objective_saved"], r["target"])) for r in records]
    error = [np.linalg.norm(g) / summary["null_spread"] ** 0.5 for g in gap]
    latents = load_file(directory / "latents.safetensors")["z_start"]
    expected = np.prod(latents.shape[1:]) ** 0.5  # the norm of white noise
    steps = [r["steps"] for r in records]
    return {
        "settings": " ".join(overrides) or "defaults",
        "converged": f"{summary['counts']['converged']} of {len(records)}",
        "steps (median, most)": f"{statistics.median(steps):g}, {max(steps)}",
        "error on file (median, most), null spreads": f"{statistics.median(error):.4f}, {max(error):.4f}",
        "latent norm / white noise": f"{np.mean([r['latent_norm'] for r in records]) / expected:.3f}",
        "seconds": f"{summary['wall_seconds']:.0f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run directories")
    rows = [row(directory) for directory in parser.parse_args().runs]
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for values in rows:
        print("| " + " | ".join(values.values()) + " |")


if __name__ == "__main__":
    main()
