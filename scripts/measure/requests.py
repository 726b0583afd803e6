"""Ten requests beside each other: how many samples converge, at what cost, and whether they look like the prior's.

    python -m scripts.measure.requests optimizer=gauss_newton optimizer=shampoo
    python -m scripts.measure.requests --requests default margin --seeds 0 1 "optimizer=sgd optimizer.noise=white"

Each word is a setting, options separated by spaces; a row a request and setting. Times are processor time where torch
has one thread (the default), else wall time. `unguided` is the row of the same noise with nothing optimised. The
held-out share is the mean probability, by the other shipped network, of the class that it sees in the query.
"""

import argparse
import statistics

import torch

from equidiff_cli.metrics.diversity import cosine_distances, vendi_score
from equidiff_cli.metrics.frechet import precision_recall
from equidiff_cli.metrics.typicality import concentration, orders
from equidiff_cli.prior.prior import sample_seed
from equidiff_cli.study.features import look
from equidiff_cli.target.small import embedded
from scripts.shared.members import BATCH, drawn, heldout, seen

REQUESTS = {
    "default": [],
    "margin": ["objective=margin"],
    "probability": ["objective=probability"],
    "smallresnet": ["target=smallresnet"],
    "cutoff 0.2": ["filter.cutoff=0.2"],
    "neuron": ["objective=neuron"],
    "three logits": ["objective=logits", "objective.labels=[cat,dog,truck]"],
    "ten logits": ["objective=logits"],
    "distribution": ["experiment=distribution"],
    "embedding": ["experiment=embedding"],
}
OTHER = [
    "margin",
    "smallresnet",
    "neuron",
    "ten logits",
    "embedding",
]  # asked of the query --other
REFERENCE = 500  # unguided samples that precision is measured against


def row(parts, finished, seconds, reference):
    """What is said of the samples of one request, text by the name of the column."""
    converged = [sample for sample in finished if sample.status == "converged"]
    z, x = (torch.stack([sample.best[name] for sample in finished]) for name in ("z_start", "picture"))
    cost = [sample.evaluations / parts.prior.evaluations for sample in finished]
    return {
        "converged": f"{len(converged)} of {len(finished)}",
        "evaluations (mean, most)": f"{statistics.mean(cost):.1f}, {max(cost):.0f}",
        "seconds a member": f"{seconds / len(converged):.2f}" if converged else "none",
        **looks(parts, z, x, reference),
    }


def looks(parts, z, x, reference):
    """What is said of noise (N, C, H, W) and its pictures (N, 3, H, W), optimised or not."""
    mean, covariance = concentration(z, orders(z[0].numel(), 20, 0))
    network = heldout(parts)
    probabilities, features = seen(network, x)
    expected = seen(network, parts.picture[None])[0].argmax().item()
    return {
        "norm": f"{z.flatten(1).norm(dim=1).mean() / z[0].numel() ** 0.5:.3f}",
        "whiteness (mean, covariance)": f"{mean.amax(1).mean():.2f}, {covariance.amax(1).mean():.3f}",
        "Vendi": f"{vendi_score(1 - cosine_distances(features, features)):.1f}",
        "precision": f"{precision_recall(reference[network.name], features)[0]:.2f}",
        "saturated": f"{((x <= 5 / 255) | (x >= 250 / 255)).double().mean():.0%}",
        "held-out share": f"{probabilities[:, expected].mean():.2f}",
    }


def references(parts):
    """Features of unguided samples in both embedded networks."""
    x = parts.prior.unguided(REFERENCE, 50)
    return {name: look(embedded(name), x, 50)[1] for name in ("smallconv", "smallresnet")}


def parser():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="+", help="options of equidiff run, several in quotes")
    parser.add_argument("--requests", nargs="+", default=list(REQUESTS), choices=REQUESTS)
    parser.add_argument("--other", metavar="FILE", help="the query of half of the requests, such as what is no class")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    return parser


def main():
    arguments = parser().parse_args()
    torch.set_num_threads(arguments.threads)
    reference, begun = None, False
    for request in arguments.requests:
        rows = {}
        for setting in arguments.settings:
            words = [*REQUESTS[request], *setting.split()]
            if arguments.other and request in OTHER:
                words.append(f"query={arguments.other}")
            results = [drawn(words, arguments.samples, s) for s in arguments.seeds]
            parts, seconds = results[0][0], sum(result[2] for result in results)
            reference = reference or references(parts)
            rows[setting] = row(parts, [sample for result in results for sample in result[1]], seconds, reference)
        noise = [parts.prior.noise(sample_seed(s, i)) for s in arguments.seeds for i in range(arguments.samples)]
        plain = looks(parts, torch.stack(noise), parts.prior.sample(torch.stack(noise), BATCH), reference)
        rows["unguided"] = {name: plain.get(name, "") for name in rows[setting]}
        for setting, cells in rows.items():
            if not begun:
                print("| request | setting | " + " | ".join(cells) + " |\n|" + "---|" * (len(cells) + 2))
            begun = True
            print(f"| {request} | {setting} | " + " | ".join(cells.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
