"""Are the samples typical of the invariant set itself? Held against its own law, where that is known.

Means are of the law by its weights. Distances are to samples of it that all count the same, beside what two samples of
one law would have, by permutation.
"""

import torch
import torch.nn.functional as F

from equidiff_cli.evaluation.agreement import held_class, name_of
from equidiff_cli.evaluation.frequency import power
from equidiff_cli.evaluation.realism import saturated_each
from equidiff_cli.metrics import permutation, weighted
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import MEAN, Statistic, as_many, metric
from equidiff_cli.study.sets import once
from equidiff_cli.target.probabilities import probabilities

WORDS = words_beside(__file__)
FEWEST = 8  # samples that a distance is measured with
MOST = 512  # samples of the law that a distance is measured to
ROUNDS = 500  # random divisions
CHANCE = 0.99  # of them have a smaller distance


def typical(case):
    """The section `typical` of a case."""
    law, (_, *others), last = case.law, case.networks, case.networks[-1]
    facts = {"among": law.about or law.reason, "network": last.name, "chance": 100 * CHANCE, "rounds": ROUNDS}
    section = Section("typical", case, WORDS, facts)
    section.add(effective, law.reason)
    for network in others:
        say = {"called": name_of(network, held_class(case, network)) if network.classes else ""}
        for one in (probability, probability_set):
            section.add(one, law.reason or classless(network) or unnamed(case), say=say, network=network)
    if not others:
        section.absent("probability", case.heldout_reason)
    for one in (variation, variation_chance):
        section.add(one, law.reason or classless(last))
    for one in (kernel, kernel_chance, saturated, saturated_set, spectrum, spectrum_chance):
        section.add(one, law.reason)
    return section


def classless(network):
    """Why nothing is said of the classes of a network, or None."""
    return None if network.classes else f"{network.name} gives features and has no classes"


def unnamed(case):
    """Why there is no class that the objective holds, or None."""
    named = isinstance(getattr(case.objective, "index", None), int)
    return None if named or not case.no_query else f"{case.no_query}, and the objective names no class"


def of_law(case):
    """For metrics that are of the law itself."""
    return case.law.set


def by_weights(rows, _seed):
    """The interval of a weighted mean of values in [0, 1], and weights (2, N)."""
    bounds = weighted.interval(*rows)
    return bounds and (max(bounds[0], 0.0), min(bounds[1], 1.0), "95 % delta method, by weights")


WEIGHTED = Statistic(lambda rows: weighted.mean(*rows), by_weights)


def with_weights(set, values):
    """Values (N,) of the law's samples and their weights, (2, N)."""
    return torch.stack([values.double(), set.case.law.weights.double()])


@metric(null=None)
def effective(set):
    return set.case.law.count


def held(set, network):
    """The probability (N,) of the class that the objective holds, by a network that has it, else of its own class."""
    given = probabilities(network.target, set.logits(network).double())
    return given[:, held_class(set.case, network)]


@metric(over=MEAN)
def probability(set, network):
    return held(set, network)


@metric(over=WEIGHTED, on=of_law, null=None)
def probability_set(set, network):
    return with_weights(set, held(set, network))


def even(law, case):
    """The rows of the law's samples that distances are measured to, at most `MOST`."""
    return law.even(case.options.seed)[:MOST]


@once
def divided(set):
    """The samples of a set and those of the law: as they are, and divided at random."""
    case = set.case
    return permutation.divisions(len(set), len(even(case.law, case)), ROUNDS, case.options.seed)


def together(set, rows):
    """What a function of sets gives for a set and for the law's even samples, in one tensor (N, D)."""
    law = set.case.law
    return torch.cat([rows(set), rows(law.set)[even(law, set.case)]]).double()


def called(set):
    """The top class by the last network, as rows (N, C) with a single 1."""
    logits = set.logits(set.case.networks[-1])
    return F.one_hot(logits.argmax(1), logits.shape[1])


def seen(set):
    """Features (N, D) of the last network."""
    return set.features(set.case.networks[-1])


@once
def variations(set):
    return permutation.total_variation(together(set, called), divided(set))


@once
def kernels(set):
    return permutation.kernel(together(set, seen), divided(set))


@once
def spectra(set):
    return permutation.spectral(together(set, power), divided(set))


def chance(found):
    """What `CHANCE` of the random divisions stay below."""
    return found[1:].quantile(CHANCE)


@metric(null=as_many, needs=FEWEST)
def variation(set):
    return variations(set)[0]


@metric(null=None, needs=FEWEST)
def variation_chance(set):
    return chance(variations(set))


@metric(null=as_many, needs=FEWEST)
def kernel(set):
    return kernels(set)[0]


@metric(null=None, needs=FEWEST)
def kernel_chance(set):
    return chance(kernels(set))


@metric(over=MEAN)
def saturated(set):
    return saturated_each(set)


@metric(over=WEIGHTED, on=of_law, null=None)
def saturated_set(set):
    return with_weights(set, saturated_each(set))


@metric(null=as_many, needs=FEWEST)
def spectrum(set):
    return spectra(set)[0]


@metric(null=None, needs=FEWEST)
def spectrum_chance(set):
    return chance(spectra(set))
