"""What other networks say of the same samples: the gap to the target is what makes a sample interesting."""

from equidiff_cli.metrics.agreement import class_logit_errors, jensen_shannon, same_class
from equidiff_cli.metrics.error import spread
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import MEDIAN, SHARE, median, metric, share
from equidiff_cli.target.probabilities import logits

WORDS = words_beside(__file__)


def agreement(case):
    """The section `agreement` of a case."""
    section = Section("agreement", case, WORDS)
    target, *others = case.networks
    for network in case.networks:
        asked(section, case, network)
    for network in others:
        section.add(gap, None if target.classes and network.classes else "both networks need classes", network=network)
    if not others:
        section.absent("class_heldout", case.heldout_reason)
        section.absent("gap", case.heldout_reason)
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


def of_query(case, network):
    """The logits (classes,) of the query by a network."""
    return case.query.logits(network)[0]


def held_class(case, network):
    """The class that the objective holds if the network has the target's classes, else its own class of the query."""
    same = network.classes == case.networks[0].classes
    return case.class_index if same else of_query(case, network).argmax().item()


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


@metric
def divergence(set, network):
    given = (logits(network.target, outputs) for outputs in (set.logits(network), of_query(set.case, network)))
    return median(jensen_shannon(*given))


@metric
def gap(set, network):
    by_target, by_other = (
        share(same_class(set.logits(one), of_query(set.case, one))) for one in (set.case.networks[0], network)
    )
    return by_target - by_other
