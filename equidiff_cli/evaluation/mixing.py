"""Whether the Markov chains of a run have mixed, so that shares among their states may be quoted."""

import torch

from equidiff_cli.evaluation.agreement import name_of, of_query
from equidiff_cli.metrics.chains import autocorrelation, effective_size, split_rhat
from equidiff_cli.metrics.interval import wilson
from equidiff_cli.study.findings import FAILURES, Section, Words, failure, words_beside
from equidiff_cli.target.probabilities import probabilities

WORDS = words_beside(__file__)
RHAT, EFFECTIVE = 1.05, 100  # bounds of "mixed"; Vehtari et al. 2021 ask for 1.01 and 400 where tails count
FEWEST = 4  # chains


def mixing(case):
    """The section `mixing` of a case; empty for runs without chains."""
    section = Section("mixing", case, WORDS, {"rhat": RHAT, "effective": EFFECTIVE})
    if case.chains is None:
        return section
    for name in ("acceptance", "no_projection", "no_return"):
        section.put(Words(**section.filled("metrics", name)), *moves(case, name), len(case.run.kept.norms), 1)
    try:
        numbers = scalars(case)
    except FAILURES as error:  # a network that cannot see the states, say
        failure("mixing", error)
        return section
    chains, states = case.run.kept.norms.shape
    facts = {"chains": chains, "states": states, "total": chains * states}
    for name, (what, x) in numbers.items():
        for metric, value in (("rhat", split_rhat(x)), ("effective", effective_size(x))):
            words = Words(**section.filled("metrics", metric, scalar=name, what=what, **facts))
            reason = words.undefined if value is None else None
            section.put(words, value, reason, None, None, len(case.samples), 1)
    shares(section, case, is_mixed(section.metrics, chains))
    curve(section, case, numbers)
    return section


def moves(case, name):
    """(value, reason, interval, null) of a share of the moves of all chains."""
    walked = [record["walk"] for record in case.run.records if "walk" in record]
    total = sum(one["moves"] for one in walked)
    key = {"acceptance": "moved"}.get(name, name)
    value = sum(one[key] for one in walked) / total if total else None
    return value, None if total else "no chain made a move", None, None


def scalars(case):
    """What is looked at: name -> (words, (M, N)): chains x states."""
    shape, network = case.run.kept.norms.shape, case.networks[-1] if len(case.networks) > 1 else case.networks[0]
    features = network.target.name if hasattr(network.target, "name") else network.name
    found = {
        "norm": ("the norm of the noise", case.run.kept.norms),
        f"features_{network.key}": (f"the leading direction of {features}'s features", leading(case, network)),
    }
    if network.classes:
        index = of_query(case, network).argmax()
        p = probabilities(network.target, case.chains.logits(network).double())[:, index]
        called = name_of(network, index)
        found[f"class_{network.key}"] = (f"{network.name}'s probability of {called}", p)
    return {name: (what, x.reshape(shape)) for name, (what, x) in found.items()}


def leading(case, network):
    """The states' features along the first principal direction of those of unguided samples."""
    unguided = case.unguided.features(network).double()
    direction = torch.linalg.svd(unguided - unguided.mean(0), full_matrices=False).Vh[0]
    return (case.chains.features(network).double() - unguided.mean(0)) @ direction


def shares(section, case, mixed):
    """The share of states that each network calls what it calls the query, with its interval."""
    may = "The chains have mixed." if mixed else "The chains have not mixed: it is not to be quoted."
    for network in case.networks if not case.no_query else ():
        if not network.classes:
            continue
        called = of_query(case, network).argmax()
        hits = (case.chains.logits(network).argmax(1) == called).double()
        size = effective_size(hits.reshape(case.run.kept.norms.shape)) or len(case.run.kept.norms)
        about = {"network": network.key, "which": network.which, "called": name_of(network, called), "may": may}
        words, value = Words(**section.filled("metrics", "share", **about)), hits.mean().item()
        size = min(size, len(hits))
        bounds = (*wilson(value * size, size), f"95 % Wilson, as {size:.0f} independent draws")
        chance = (case.unguided.logits(network).argmax(1) == called).double().mean().item()
        section.put(words, value, None, bounds, chance, len(case.samples), 1)


def curve(section, case, numbers):
    """Autocorrelation by lag, up to half a chain."""
    states, every = case.run.kept.norms.shape[1], case.run.kept.every
    lines = []
    for what, x in numbers.values():
        rho = autocorrelation(x) if states >= 4 else None
        if rho is not None:
            lines.append({"name": what, "values": rho[: states // 2 + 1].tolist()})
    if lines:
        section.curve("autocorrelation", [every * lag for lag in range(states // 2 + 1)], lines)


def is_mixed(metrics, chains):
    """Whether every number of `metrics` is within the bounds, and there are chains enough to tell."""
    rhats = [one["value"] for one in metrics if one["name"].startswith("rhat_")]
    sizes = [one["value"] for one in metrics if one["name"].startswith("effective_")]
    known = all(value is not None for value in (*rhats, *sizes))
    return chains >= FEWEST and known and max(rhats) <= RHAT and min(sizes) >= EFFECTIVE


def mixed(case, metrics):
    """The finding "mixed", in a list; none for runs without chains."""
    if case.chains is None:
        return []
    own = [one for one in metrics if one["section"] == "mixing"]
    rhats = [one["value"] for one in own if one["name"].startswith("rhat_") and one["value"] is not None]
    sizes = [one["value"] for one in own if one["name"].startswith("effective_") and one["value"] is not None]
    chains, states = case.run.kept.norms.shape
    said = f"{chains} chains of {states} states"
    if rhats and sizes:
        said += f", the largest R-hat {max(rhats):.2f}, the smallest effective size {min(sizes):.0f}"
    if is_mixed(own, chains):
        answer = f"Mixed: {said}. Shares among the states may be quoted, with their intervals."
    else:
        answer = (
            f"Not mixed: shares are not to be quoted. {said}; needed are {FEWEST} chains, {RHAT:g} at most and"
            f" {EFFECTIVE} at least: more moves (method.forget, method.every, method.keep) or more samples"
        )
    return [{"question": "mixed", "title": "Have the chains mixed?", "answer": answer}]
