"""What other networks say of the same samples: the gap to the target is what makes a sample interesting."""

from equidiff_cli.evaluation.invariance import median
from equidiff_cli.metrics.agreement import class_logit_errors, jensen_shannon, same_class
from equidiff_cli.metrics.error import spread
from equidiff_cli.metrics.interval import bootstrap, wilson
from equidiff_cli.study.findings import Section


def agreement(case):
    """The section `agreement` of a case."""
    section = Section("agreement", len(case.pictures))
    target, *others = case.views
    for view in case.views:
        network(section, case, view, "target" if view is target else view.name)
    for view in others:
        gap(section, target, view)
    if not others:
        for name, title in (("class_heldout", "same class, a held-out network"), ("gap", "gap to a held-out network")):
            section.metric(
                name,
                title,
                lambda: None,
                unit="share",
                reason=case.heldout_reason,
                source="top class equal to the network's own for the query",
                about="Whether networks that took no part see what the target sees.",
            )
    return section


def network(section, case, view, key):
    """What one network says: class, logit and the whole distribution, against what it says of the query."""
    which = "the target" if key == "target" else f"the held-out {view.name}"
    reason = None if view.classes else f"{view.name} gives features and has no classes"
    query, samples, null = view.logits["query"][0], view.logits["samples"], view.logits["null"]
    same = same_class(samples, query)
    section.metric(
        f"class_{key}",
        f"share of the query's class, by {which}",
        lambda: same.double().mean().item(),
        unit="share",
        null=lambda: same_class(null, query).double().mean().item(),
        reason=reason,
        better=None,
        source="top class equal to the network's own for the query",
        about=f"{which[0].upper()}{which[1:]} calls the query {name_of(view, query.argmax())}."
        if view.classes
        else "Needs classes.",
        interval=lambda: (*wilson(same.sum().item(), len(same)), "95 % Wilson"),
    )
    # A network with the target's classes is asked for the logit that was held, another for its own class of the query.
    index = case.class_index if view.classes and view.classes == case.views[0].classes else query.argmax().item()
    unit = spread(null[:, index, None]) if view.classes else None
    mine, theirs = (class_logit_errors(x, query, index) / (unit or 1) for x in (samples, null))
    section.metric(
        f"logit_{key}",
        f"median error of a logit, by {which}",
        lambda: median(mine).item(),
        unit="null spreads of that logit",
        null=lambda: median(theirs).item(),
        reason=reason,
        better="lower" if key == "target" else None,
        source="|logit - the query's|, divided by its standard deviation over unguided samples",
        about=f"The logit of {view.classes[index]}." if view.classes else "Needs classes.",
        interval=lambda: (
            (*bootstrap(mine, median, case.options.seed), "95 % bootstrap over samples") if len(mine) >= 4 else None
        ),
    )
    section.metric(
        f"divergence_{key}",
        f"median divergence of the class distribution, by {which}",
        lambda: median(jensen_shannon(samples, query)).item(),
        unit="bits",
        null=lambda: median(jensen_shannon(null, query)).item(),
        reason=reason,
        better=None,
        source="Jensen-Shannon divergence (Lin 1991) from the network's own distribution for the query",
        about="0: it sees the same in both. 1: it is sure of different classes.",
    )
    if view.classes:
        section.column(
            f"class_{key}",
            f"class, {key}",
            [name_of(view, i) for i in samples.argmax(1)],
            unit="",
            about=f"top class by {which}",
        )
        section.column(
            f"logit_{key}", f"logit error, {key}", mine.tolist(), unit="null spreads of that logit", about=f"by {which}"
        )


def gap(section, target, view):
    """How much more often the target sees the query's class than a held-out network does."""
    reason = None if target.classes and view.classes else "both networks need classes"

    def difference(what):
        seen = [same_class(v.logits[what], v.logits["query"][0]).double().mean() for v in (target, view)]
        return (seen[0] - seen[1]).item()

    section.metric(
        f"gap_{view.name}",
        f"gap between the target and {view.name}",
        lambda: difference("samples"),
        unit="share",
        null=lambda: difference("null"),
        reason=reason,
        better=None,
        source="difference of the two shares of the query's class",
        about="Far above 0: the target sees the query's class where the other does not, for other reasons.",
    )


def name_of(view, index):
    """The first name of a class."""
    return view.classes[int(index)].split(", ")[0]
