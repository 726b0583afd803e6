"""What every network sees in a picture: its first class, and how sure it is."""

from equidiff_cli.target.probabilities import probabilities


def seen(set):
    """Of every picture of a set what the networks that have classes see: {name: {"class", "probability"}}."""
    rows = [{} for _ in range(len(set))]
    for name, network in named(set.case.networks).items():
        probability, index = probabilities(network.target, set.logits(network).double()).max(1)
        for row, p, i in zip(rows, probability.tolist(), index.tolist(), strict=True):
            row[name] = {"class": network.classes[i].split(", ")[0], "probability": p}
    return rows


def named(networks):
    """Networks with classes by their names; one that is called like an earlier one is told apart."""
    found = {}
    for network in networks:
        if network.classes:
            found[network.name if network.name not in found else f"{network.name}, {network.which}"] = network
    return found
