"""What other networks say of the same samples: the gap to the target is what makes a sample interesting.

Networks are compared on the classes that both have, by name.
"""

import torch

from equidiff_cli.metrics.agreement import class_logit_errors, jensen_shannon, same_class
from equidiff_cli.metrics.error import spread
from equidiff_cli.study.classes import matches
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import DIFFERENCE, MEDIAN, SHARE, metric
from equidiff_cli.target.probabilities import logits

WORDS = words_beside(__file__)


def agreement(case):
    """The section `agreement` of a case."""
    section = Section("agreement", case, WORDS)
    target, *others = case.networks
    for network in case.networks if not case.no_query else ():
        asked(section, case, network)
    for network in others if not case.no_query else ():
        called = name_of(target, of_query(case, target).argmax()) if target.classes else ""
        facts = {"called": called, "both": len(shared_classes(target, network))}
        section.add(gap, no_gap(case, network), say=facts, network=network)
    if comparable := [network for network in others if len(shared_classes(target, network)) >= 2]:
        apart = [jensen_shannon(*shared(case.samples, network)) for network in comparable]
        section.column("disagreement", torch.stack(apart).mean(0).tolist())
    if case.no_query or not others:
        section.absent("class_heldout", case.no_query or case.heldout_reason)
        section.absent("gap", case.no_query or case.heldout_reason)
    return section


def asked(section, case, network):
    """What one network says: class, logit and the whole distribution, against what it says of the query."""
    if not network.classes:
        for one in ("class", "logit"):
            section.absent(one, f"{network.name} gives features and has no classes", network=network)
        section.add(divergence, network=network)
        return
    about = {
        "subject": network.which[0].upper() + network.which[1:],
        "called": name_of(network, of_query(case, network).argmax()),
        "held": network.classes[held_class(case, network)],
    }
    logit = logit_target if network is case.networks[0] else logit_heldout
    for one in (class_share, logit, divergence):
        section.add(one, say=about, network=network)
    names = [name_of(network, i) for i in case.samples.logits(network).argmax(1)]
    section.column("class", names, network=network)
    section.column("logit", logit_errors(case.samples, network).tolist(), network=network)


def shared_classes(target, network):
    """Pairs of the indices of classes that the target and another network have, by name."""
    return matches(target.classes, network.classes) if target.classes and network.classes else []


def shared(set, network):
    """Logits (N, C) of the target and of another network for the C classes that both have."""
    target = set.case.networks[0]
    mine, theirs = map(list, zip(*shared_classes(target, network), strict=True))
    return set.logits(target)[:, mine], set.logits(network)[:, theirs]


def no_gap(case, network):
    """Why there is no gap between the target and another network, or None."""
    target = case.networks[0]
    if not (target.classes and network.classes):
        return "both networks need classes"
    pairs, called = shared_classes(target, network), of_query(case, target).argmax().item()
    if called not in dict(pairs):
        return f"{network.name} has no class {name_of(target, called)}, which the target sees in the query"
    return None if len(pairs) >= 2 else f"{network.name} has one class of the target's alone"


def of_query(case, network):
    """The logits (classes,) of the query by a network."""
    return case.query.logits(network)[0]


def held_class(case, network):
    """The class that the objective holds if the network has it, by name, else its own class of the query."""
    target = case.networks[0]
    theirs = dict(shared_classes(target, network)).get(case.class_index) if target.classes else None
    return of_query(case, network).argmax().item() if theirs is None else theirs


def logit_errors(set, network):
    """Errors (N,) of the logit of `held_class`, in standard deviations of it over unguided samples."""
    case, index = set.case, held_class(set.case, network)
    unit = spread(case.unguided.logits(network)[:, index, None]) or 1
    return class_logit_errors(set.logits(network), of_query(case, network), index) / unit


def name_of(network, index):
    """The first name of a class."""
    return network.classes[int(index)].split(", ")[0]


@metric(over=SHARE)
def class_share(set, network):
    return same_class(set.logits(network), of_query(set.case, network))


@metric(over=MEDIAN)
def logit_target(set, network):
    return logit_errors(set, network)


@metric(over=MEDIAN)
def logit_heldout(set, network):
    return logit_errors(set, network)


@metric(over=MEDIAN)
def divergence(set, network):
    given = (logits(network.target, outputs) for outputs in (set.logits(network), of_query(set.case, network)))
    return jensen_shannon(*given)


@metric(over=DIFFERENCE)
def gap(set, network):
    """Whether the target, and whether the other network, calls a sample what the target calls the query: (2, N)."""
    target = set.case.networks[0]
    mine = [i for i, _ in shared_classes(target, network)]
    held = mine.index(of_query(set.case, target).argmax().item())
    return torch.stack([logits.argmax(1) == held for logits in shared(set, network)])
