"""Compare the samples of runs of experiment=circles with the true level curve: a table, and one figure of all of them.

equidiff run -m experiment=circles query=inner,boundary,outer | xargs python scripts/measure_circles.py --figure out.png
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from equidiff_cli.circles import build, rings
from equidiff_cli.circles.coverage import Mass, compare, near
from equidiff_cli.circles.figure import draw
from equidiff_cli.circles.levelcurve import field_of, project, trace
from equidiff_cli.medium.points import Points, to_plane
from equidiff_cli.objectives import Margin

RESAMPLES = 200  # of the oracle


def read(directory):
    """The query (2,) and the samples (N, 2) of a run, tensors, and its configuration."""
    medium, directory = Points(), Path(directory)
    summary = json.loads((directory / "summary.json").read_text())
    if summary["medium"] != "points" or summary["objective"] != "margin of inside over outside":
        raise SystemExit(f"{directory}: not a run of experiment=circles with its own objective")
    samples = torch.stack([medium.read(file) for file in sorted((directory / "samples").glob("*.txt"))])
    return to_plane(medium.read(directory / "query.txt")[None])[0], to_plane(samples), summary


def row(objective, query, samples, summary):
    """Distance to the level curve and coverage, as text by the name of the column."""
    field = field_of(objective)
    with torch.no_grad():
        level = field(query[None]).item()
    lines = trace(field, level, rings.EXTENT)
    distance, _ = project(samples.numpy(), lines)
    mass = Mass(field, lines)
    oracle = mass(near(field, level, RESAMPLES * len(samples), np.random.default_rng(1)))
    coverage = compare(mass(samples.numpy()), oracle)
    kuiper, arcs = coverage["kuiper"], coverage["arcs"]
    return {
        "query": f"{summary['query']} ({query[0]:.2f}, {query[1]:.2f})",
        "log-odds": f"{level:+.2f}",
        "converged": f"{summary['counts']['converged']} of {len(samples)}",
        "distance (median, 95 %, most)": ", ".join(f"{np.quantile(distance, q):.5f}" for q in (0.5, 0.95, 1)),
        "Kuiper (oracle 5, 50, 95 %)": f"{kuiper[0]:.2f} ({', '.join(f'{k:.2f}' for k in kuiper[1:])})",
        "oracle as uneven": f"{coverage['p']:.0%}",
        "arcs hit (oracle)": f"{arcs[0]:.0%} ({', '.join(f'{a:.0%}' for a in arcs[1:])})",
        "seconds": f"{summary['wall_seconds']:.1f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run directories")
    parser.add_argument("--figure", help="draw all of them side by side into this file")
    args = parser.parse_args()
    runs = [read(directory) for directory in args.runs]
    objective = Margin(build.target(), None, "inside", "outside")
    rows = [row(objective, *run) for run in runs]
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for values in rows:
        print("| " + " | ".join(values.values()) + " |")
    if args.figure:
        titles = [f"{one['query']}, log-odds {one['log-odds']}" for one in rows]
        panels = [(objective, query, samples, title) for (query, samples, _), title in zip(runs, titles, strict=True)]
        draw(panels).quantize(128).save(args.figure, optimize=True)


if __name__ == "__main__":
    main()
