"""Members beside the law of their own set: how typical they are, setting by setting.

    python -m scripts.measure.typical optimizer=shampoo optimizer=gauss_newton
    python -m scripts.measure.typical --queries dog --pool 8192 "method=rejection method.tolerance=0.3"

Each word is a setting, options separated by spaces; a row a query and setting. The rows `the set` are the set's own
law, unguided samples weighted by a Gaussian kernel in the larger distance of both values, with the effective sample
size. The held-out share is the mean probability, by the other shipped network, of the class that is held. The Frechet
distance is to every second one of the law's samples that count the same; it depends on how many samples a row has.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import torch

from equidiff_cli.metrics import weighted
from equidiff_cli.metrics.diversity import cosine_distances, vendi_score
from equidiff_cli.metrics.frechet import covered, frechet_distance
from equidiff_cli.metrics.saturation import saturation
from equidiff_cli.pictures.convert import to_image
from equidiff_cli.request.light import light_prior
from equidiff_cli.request.schema import composed
from equidiff_cli.study.law import FEWEST
from equidiff_cli.study.metric import MEAN
from equidiff_cli.study.null import unguided
from scripts.shared.members import BATCH, drawn, heldout, seen, table_row

QUERIES = {"dog": 150, "ship": 74, "deer": 142, "cat": None}  # seeds of the prior's noise; None: the shipped picture
# Of seeds 0 to 255 those whose value is nearest to the median of unguided samples, of different classes, which the
# held-out network sees, too, and of which more than 1 % of unguided samples lie within 0.3 null spreads. `cat` is rare.
REFERENCE = 500  # unguided samples that precision is measured against


def picture(name, folder):
    """The query of a name: the word for it, of a file in `folder` where the prior has to make it."""
    if QUERIES[name] is None:
        return name
    prior = light_prior(composed("prior=embedded")).build(device=torch.device("cpu"), autocast=torch.float32)
    file = Path(folder) / f"{name}.png"
    to_image(prior.sample(prior.noise(QUERIES[name])[None], 1)[0]).save(file)
    return str(file)


@torch.no_grad()
def distances(question, pictures):
    """How far pictures are from the set (N,): the larger root of both scaled losses, in null spreads."""
    losses = [torch.stack(question(part)[:2]) for part in pictures.split(BATCH)]
    return torch.cat(losses, 1).amax(0).sqrt()


def row(probabilities, features, pictures, pool, law, more):
    """What is said of samples, text by the name of the column.

    Args:
        probabilities: of the held class by the held-out network (N,).
        features, pool, law: features of the samples, of unguided ones, and of the law's.
        more: columns that only some rows have.
    """
    low, high, _ = MEAN.interval(probabilities, 0)
    return {
        "held-out share": f"{probabilities.mean():.2f} [{low:.2f}, {high:.2f}]",
        "evaluations": "",
        "converged": "",
        "Vendi": f"{vendi_score(1 - cosine_distances(features, features)):.1f}",
        "precision": f"{covered(pool, features).double().mean():.2f}",
        "saturated": f"{saturation(pictures).mean():.1%}",
        "Frechet to the set": f"{frechet_distance(features, law):.2f}",
    } | more


def measure(name, settings, samples, pool, bandwidth, folder):
    """The rows of one query: {setting: columns}."""
    words, rows, law = ["query=" + picture(name, folder)], {}, None
    for setting in settings:
        parts, finished, _ = drawn([*words, *setting.split()], samples, 0)
        network, held = heldout(parts), parts.question.objective.index
        if law is None:
            null = unguided(parts.prior, {"prior": parts.prior.name, "weights": parts.prior.weights}, pool, BATCH)
            weights = weighted.gaussian_weights(distances(parts.question, null.pictures), bandwidth)
            if weighted.effective(weights) < FEWEST:
                raise SystemExit(f"{name}: fewer than {FEWEST} effective samples, use a larger --pool or --bandwidth")
            here = weights > 0
            weights, x = weights[here], null.pictures[here]
            probabilities, features = seen(network, x)
            even = weighted.thinned(weights, 0).nonzero().flatten()
            law, own = features[even[::2]], even[1::2][:samples]
            others = torch.arange(len(here)) >= samples  # precision is against samples that are in no row
            others[here.nonzero().flatten()[own]] = False
            everywhere = seen(network, null.pictures[others][:REFERENCE])[1]
            low, high = weighted.interval(probabilities[:, held], weights)
            share = f"{weighted.mean(probabilities[:, held], weights):.2f} [{low:.2f}, {high:.2f}]"
            more = {"held-out share": share, "converged": f"{len(own)} of {weighted.effective(weights):.0f} effective"}
            rows["the set"] = row(probabilities[own, held], features[own], x[own], everywhere, law, more)
            plain = null.pictures[:samples]
            probabilities, features = seen(network, plain)
            rows["unguided"] = row(probabilities[:, held], features, plain, everywhere, law, {"evaluations": "1"})
        x = torch.stack([sample.best["picture"] for sample in finished])
        probabilities, features = seen(network, (x * 255).round() / 255)
        cost = [sample.evaluations / parts.prior.evaluations for sample in finished]
        converged = sum(sample.status == "converged" for sample in finished)
        more = {"evaluations": f"{statistics.mean(cost):.1f}", "converged": f"{converged} of {len(finished)}"}
        rows[setting] = row(probabilities[:, held], features, x, everywhere, law, more)
    return rows


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="+", help="options of equidiff run, several in quotes")
    parser.add_argument("--queries", nargs="+", default=list(QUERIES), choices=QUERIES)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--pool", type=int, default=4096, help="unguided samples, drawn once and kept in the cache")
    parser.add_argument("--bandwidth", type=float, default=0.3, help="of the weights, in null spreads")
    parser.add_argument("--threads", type=int, default=1)
    return parser


def main():
    arguments = parser().parse_args()
    torch.set_num_threads(arguments.threads)
    begun = False
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.queries:
            options = arguments.samples, arguments.pool, arguments.bandwidth
            for setting, cells in measure(name, arguments.settings, *options, folder).items():
                if not begun:
                    print(table_row("query", "setting", *cells) + "\n|" + "---|" * (len(cells) + 2))
                begun = True
                print(table_row(name, setting, *cells.values()), flush=True)


if __name__ == "__main__":
    main()
