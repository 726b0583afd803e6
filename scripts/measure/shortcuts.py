"""Does an audit find shortcuts that were planted? Where the planted attribute ranks, and how well that tells networks.

    python -m scripts.measure.shortcuts --samples 24

A row a network, cue and query: the rank of the best attribute of the cue among those that the law of the set does not
contradict, its standing and bits, on the network with the shortcut and on the honest twin. Below, for each cue, the
area under the ROC curve of these bits between the two over queries.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from equidiff_cli.metrics.compare import area_under_curve
from equidiff_cli.runs.names import AUDIT
from equidiff_cli.target.planted import CUES
from scripts.shared.members import table_row

ATTRIBUTES = {  # what a cue is measured by
    "colour": ("yellow_blue", "border_yellow_blue"),
    "background": ("border_lightness", "border_contrast", "lightness"),
    "corner": ("corner_top_left",),
    "pattern": ("pixel_pattern",),
}
SETTINGS = ("prior=embedded", "target=planted", "objective.label=cat", "optimizer=gauss_newton", "device=cpu")


def equidiff(*words):
    """Call the command; what it writes to standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "equidiff_cli.cli", *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def audited(name, query, samples, seed, folder):
    """The audit of one network and query."""
    run = folder / f"{name}-{Path(query).stem}-{seed}"
    words = (f"target.shortcut={name}", f"query={query}", f"samples={samples}", f"batch={samples}", f"seed={seed}")
    equidiff("run", *SETTINGS, *words, f"hydra.run.dir={run}")
    equidiff("audit", str(run), "device=cpu", "null_samples=512")
    return json.loads((run / AUDIT).read_text())


def found(audit, cue):
    """(rank, row) of the best attribute of a cue."""
    rows = [row for row in audit["attributes"] if row["law"] != "disagrees" or row["name"] in ATTRIBUTES[cue]]
    return next((rank, row) for rank, row in enumerate(rows, 1) if row["name"] in ATTRIBUTES[cue])


def cells(rank, row):
    """What is said of one."""
    law = ", not by the law" if row["law"] == "disagrees" else ""
    return f"{rank}: {row['name']} {row['standing']}{law}, spread {row['ratio']:.2f}, {row['bits']:.2f} bits"


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cues", nargs="+", default=list(CUES), choices=CUES)
    parser.add_argument("--queries", nargs="+", default=["cat"], help="picture files, or names of shipped pictures")
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="a folder to keep the runs in")
    return parser


def main():
    args = parser().parse_args()
    print(table_row("cue", "query", "with the shortcut", "honest twin") + "\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder, bits = Path(args.keep or temporary).resolve(), {cue: ([], []) for cue in args.cues}
        for query in args.queries:
            honest = audited("honest", query, args.samples, args.seed, folder)
            for cue in args.cues:
                sides = [found(audited(cue, query, args.samples, args.seed, folder), cue), found(honest, cue)]
                for side, (_, row) in zip(bits[cue], sides, strict=True):
                    side.append(row["bits"])
                print(table_row(cue, Path(query).stem, *(cells(*side) for side in sides)), flush=True)
        for cue, sides in bits.items():
            print(f"{cue}: area under the curve {area_under_curve(*map(torch.tensor, sides)):.2f}")


if __name__ == "__main__":
    main()
