"""Compare the samples of runs of experiment=circles with the true level curve: a table, and one figure of all of them.

equidiff run -m experiment=circles query=inner,boundary,outer | xargs python -m scripts.measure.circles --figure out.png

Without runs: the figures of the model card.
"""

import argparse

import numpy as np
import torch

from equidiff_cli.circles import rings
from equidiff_cli.circles.build import Circles, CirclesTarget
from equidiff_cli.circles.coverage import Mass, compare, kuiper, near
from equidiff_cli.circles.figure import draw
from equidiff_cli.circles.levelcurve import field_of, project, trace
from equidiff_cli.circles.plane import EXTENT, from_plane, to_plane
from equidiff_cli.circles.points import Points
from equidiff_cli.parts.objectives import Margin
from equidiff_cli.runs import reader

RESAMPLES = 200  # of the oracle
PRIOR = dict(image_size=1, solver="euler", steps=40, shift=1.0)  # as in configs/prior/circles.yaml
NOISE = 4.5  # the square of noise that is looked at is [-NOISE, NOISE]^2
FRESH = 20_000  # points to measure the networks on


def read(directory, chains=False):
    """The query (2,) and the samples (N, 2) of a run, tensors, its summary, and of chains the noise of the samples
    (N, 2); with `chains` all states of these."""
    medium, run = Points(), reader.read(directory)
    if run.summary.get("medium") != "points" or run.summary["objective"] != "margin of inside over outside":
        raise SystemExit(f"{directory}: not a finished run of experiment=circles with its own objective")
    records = [record for chain in run.chains.values() for record in chain] if chains else run.records
    if not records:
        raise SystemExit(f"{directory}: kept no states of chains")
    samples = torch.stack([medium.read(run.file(record)) for record in records])
    noise = run.latents["z_start"].reshape(-1, 2).astype(float) if run.chains and not chains else None
    return to_plane(medium.read(run.query_file)[None])[0], to_plane(samples), run.summary, noise


def under_the_prior(level, noise):
    """Kuiper's statistic of starting noise (n, 2) against the law of white noise given the level, by quadrature."""
    objective = Margin(CirclesTarget().build(), None, "inside", "outside")
    prior = Circles(**PRIOR).build(device=torch.device("cpu"), autocast=torch.float32)

    def field(z):
        return objective(prior.decode(prior.flow(z[:, :, None, None])))[:, 0]

    lines = trace(field, level, NOISE, cells=240)
    return kuiper(Mass(field, lines, lambda z: np.exp(-(z**2).sum(1) / 2))(noise))


def row(objective, query, samples, summary, noise=None):
    """Distance to the level curve and coverage, as text by the name of the column."""
    field = field_of(objective)
    with torch.no_grad():
        level = field(query[None]).item()
    lines = trace(field, level, EXTENT)
    distance, _ = project(samples.numpy(), lines)
    mass = Mass(field, lines)
    oracle = mass(near(field, level, RESAMPLES * len(samples), np.random.default_rng(1)))
    coverage = compare(mass(samples.numpy()), oracle)
    kuiper, arcs = coverage["kuiper"], coverage["arcs"]
    law = {}
    if noise is not None:
        law = {"Kuiper under the prior's own law (95 % below 1.75)": f"{under_the_prior(level, noise):.2f}"}
    return {
        "query": f"{summary['query']} ({query[0]:.2f}, {query[1]:.2f})",
        "log-odds": f"{level:+.2f}",
        "converged": f"{summary['counts']['converged']} of {len(samples)}",
        "distance (median, 95 %, most)": ", ".join(f"{np.quantile(distance, q):.5f}" for q in (0.5, 0.95, 1)),
        "Kuiper (oracle 5, 50, 95 %)": f"{kuiper[0]:.2f} ({', '.join(f'{k:.2f}' for k in kuiper[1:])})",
        "oracle as uneven": f"{coverage['p']:.0%}",
        **law,
        "arcs hit (oracle)": f"{arcs[0]:.0%} ({', '.join(f'{a:.0%}' for a in arcs[1:])})",
        "seconds": f"{summary['wall_seconds']:.1f}",
    }


@torch.no_grad()
def models():
    """How good the shipped networks are, on points that nothing was trained on."""
    points, labels = rings.draw(FRESH, np.random.default_rng(99))
    logits = CirclesTarget().build()(from_plane(torch.from_numpy(points).float())).double()
    best = torch.from_numpy(np.stack([rings.log_odds(points), np.zeros(FRESH)], axis=1))
    for name, values in (("perceptron", logits), ("best possible", best)):
        loss = torch.nn.functional.cross_entropy(values, torch.from_numpy(labels))
        right = (values.argmax(1).numpy() == labels).mean()
        print(f"{name}: accuracy {right:.4f}, log loss {loss:.4f}")
    prior = Circles(**PRIOR).build(device=torch.device("cpu"), autocast=torch.float32)
    drawn = to_plane(prior.unguided(FRESH, FRESH)).numpy()
    radius, wanted = (np.sort(np.linalg.norm(p, axis=1)) for p in (drawn, points))
    at = np.linspace(0, EXTENT, 10_000)
    gap = np.abs(np.searchsorted(radius, at) - np.searchsorted(wanted, at)).max() / FRESH
    print(f"prior: Kolmogorov-Smirnov distance of the radius to that of the data {gap:.3f}")
    for name, of_angle in (("prior", drawn), ("training points", rings.training_points()[0])):
        angle = np.arctan2(*of_angle.T[::-1]) / (2 * np.pi) % 1
        print(f"{name}: Kuiper distance of the angle to the uniform law {kuiper(angle) / len(angle) ** 0.5:.3f}")


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help="run directories")
    parser.add_argument("--figure", help="draw all of them side by side into this file")
    parser.add_argument("--chains", action="store_true", help="of chains, all states that they kept")
    return parser


def main():
    args = parser().parse_args()
    if not args.runs:
        return models()
    runs = [read(directory, args.chains) for directory in args.runs]
    objective = Margin(CirclesTarget().build(), None, "inside", "outside")
    rows = [row(objective, *run) for run in runs]
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for values in rows:
        print("| " + " | ".join(values.values()) + " |")
    if args.figure:
        titles = [f"{one['query']}, log-odds {one['log-odds']}" for one in rows]
        panels = [(objective, query, samples, title) for (query, samples, *_), title in zip(runs, titles, strict=True)]
        draw(panels).quantize(128).save(args.figure, optimize=True)


if __name__ == "__main__":
    main()
