"""Is the decision turned, and where is it turned? For runs of question=counterfactual alone."""

from equidiff_cli.metrics import counterfactual as metrics
from equidiff_cli.parts.reaching import Decision
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import MEDIAN, SHARE, metric
from equidiff_cli.study.sets import each
from equidiff_cli.target.probabilities import probabilities

WORDS = words_beside(__file__)


def counterfactual(case):
    """The section `counterfactual` of a case; without any numbers for other questions."""
    section = Section("counterfactual", case, WORDS)
    if isinstance(case.objective, Decision):
        for one in (flipped, wanted, cout, pixels):
            section.add(one)
        section.absent("s3", "no network that was trained without labels is at hand")
    return section


@each
def classes(set):
    """The target's top class (N,) of each picture."""
    return set.logits(set.case.networks[0]).argmax(1)


@metric(over=SHARE)
def flipped(set):
    return classes(set) != classes(set.case.query)[0]


@metric(over=SHARE)
def wanted(set):
    return classes(set) == set.case.objective.index


@metric(over=MEDIAN, null=None)
def cout(set):
    target, query = set.case.target, set.case.query
    index = classes(query)[0].item()
    return metrics.cout(
        lambda x: probabilities(target, target(x)), query.pictures, set.pictures, index, set.case.objective.index
    ).cpu()


@metric(over=MEDIAN)
def pixels(set):
    return (set.pictures - set.case.query.pictures).square().mean((1, 2, 3)).sqrt().cpu()
