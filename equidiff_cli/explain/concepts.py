"""Concepts: does the value grow along the direction of a concept for all members, or for the query alone?"""

import torch
from scipy.stats import ttest_ind

from equidiff_cli.explain.directions import tcav
from equidiff_cli.explain.maps import inputs
from equidiff_cli.explain.segments import clusters
from equidiff_cli.metrics.interval import bootstrap
from equidiff_cli.pictures.convert import to_tensor
from equidiff_cli.pictures.read import load
from equidiff_cli.request.explanation import concepts_in
from equidiff_cli.study.findings import FAILURES, Section, Words, failure, words_beside
from equidiff_cli.study.metric import mean

WORDS = words_beside(__file__)


def concepts(case):
    """The section `concepts` of an `Explained`: of pictures in folders."""
    section, options = Section("concepts", case, WORDS), case.options
    if options.concepts is None:
        section.absent("tcav", "no folder of concepts was given (concepts=FOLDER)")
    elif not case.layers:
        section.absent("tcav", "the target shows no layer that gives a map")
    else:
        size = case.query.pictures.shape[-1]
        pictures = {
            name: torch.stack([to_tensor(load(file, size, options.concepts)) for file in files])
            for name, files in concepts_in(options.concepts).items()
        }
        device = case.query.pictures.device
        found = {name: case.forward.enter(of.to(device)) for name, of in pictures.items()}
        put(section, case, found, {name: drawn(inputs(case.everyone), len(of), case) for name, of in found.items()})
    return section


def automatic(case):
    """The section `automatic` of an `Explained`: of clusters of segments of the members."""
    section = Section("automatic", case, WORDS)
    if not case.options.clusters or not case.layers:
        why = "clusters=0" if case.layers else "the target shows no layer that gives a map"
        section.absent("automatic", why)
        return section
    try:
        found = clusters(case)
    except FAILURES as error:
        section.absent("automatic", failure("automatic", error))
        return section
    if not found.concepts:
        section.absent("automatic", "no cluster has 4 segments of 2 members")
        return section
    put(
        section, case, found.concepts, {name: drawn(found.others, len(of), case) for name, of in found.concepts.items()}
    )
    case.found = found
    return section


def drawn(everything, count, case):
    """R random choices of `count` of some inputs, none of them twice in one choice."""
    generator = torch.Generator().manual_seed(case.options.seed)
    orders = [torch.randperm(len(everything), generator=generator) for _ in range(case.options.counterparts)]
    return [everything[order[:count].to(everything.device)] for order in orders]


def put(section, case, found, counterparts):
    """Put the numbers of concepts into a section."""
    sets = {"members": inputs(case.samples), "query": inputs(case.query), "unguided": inputs(case.unguided)}
    for (layer, name), scores in tcav(case, found, counterparts, case.layers, sets).items():
        facts = dict(layer=layer, key=layer.replace(".", "_"), concept=name, count=len(found[name]))
        members, unguided = scores.shares["members"], scores.shares.get("unguided")
        chance = None if unguided is None else unguided.mean().item()
        bounds = (*bootstrap(members, mean, case.options.seed), "95 % bootstrap over counterparts")
        p = ttest_ind(members, scores.chance, equal_var=False).pvalue.item()
        numbers = {
            "tcav": (members.mean().item(), bounds, chance),
            "tcav_query": (scores.shares["query"].mean().item(), None, None),
            "tcav_p": (p if p == p else None, None, None),
            "cav_accuracy": (scores.accuracy.mean().item(), None, None),
        }
        for kind, (value, bounds, null) in numbers.items():
            words = Words(**section.filled("metrics", kind, **facts))
            section.put(
                words, value, None if value is not None else words.undefined, bounds, null, len(case.samples), 1
            )
