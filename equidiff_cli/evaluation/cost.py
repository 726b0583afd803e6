"""What a successful sample costs, against simply drawing until one fits."""

from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import metric

WORDS = words_beside(__file__)


def cost(case):
    """The section `cost` of a case; a sample is successful if its saved picture is within the first tolerance."""
    summary = case.run.summary
    facts = {
        "tolerance": case.options.tolerances[0],
        "unguided": len(case.unguided),
        "device": summary.get("device", ""),
        "memory": summary.get("memory", "an unknown plan"),
    }
    unfinished = None if summary else "the run is not finished"
    gone = ", ".join(gap["file"] for gap in case.run.missing)
    gone = f"deleted or replaced, so that successful samples cannot be counted: {gone}" if gone else None
    gone = case.no_value or gone
    none = f"none of {facts['unguided']} unguided samples is within {facts['tolerance']:g} null spreads"
    section = Section("cost", case, WORDS, facts | {"never": "was not counted" if gone else none})
    section.add(nfe, gone)
    section.add(seconds, unfinished or gone)
    section.add(memory_time, unfinished or gone)
    section.add(memory, unfinished)
    return section


def a_success(total, set):
    """A total divided by the number of successful pictures of a set; None if there are none."""
    hits = (set.errors <= set.case.options.tolerances[0]).sum().item()
    return total / hits if hits else None


@metric(of_pictures=False)
def nfe(set):
    return a_success(set.evaluations, set)


@metric(null=None)
def seconds(set):
    return a_success(set.case.run.summary["wall_seconds"], set)


@metric(null=None)
def memory_time(set):
    summary = set.case.run.summary
    return a_success(summary["peak_memory_mib"] / 1024 * summary["wall_seconds"], set)


@metric(null=None)
def memory(set):
    return set.case.run.summary["peak_memory_mib"]
