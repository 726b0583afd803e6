"""What the numbers of an explanation say, one sentence a question; every sentence follows from them by thresholds."""

from equidiff_cli.explain.maps import complete, words

HALF = 0.5  # of the members; a method that beats random orders on fewer is not to be trusted
SAME = 0.5  # rank correlation with the map of a network that learnt nothing, above which a map is said to stay
SLACK = 0.1  # null spreads of totals that are too much for a method that is complete


def findings(metrics, case):
    """A list of {"question", "title", "answer"}."""
    found = {f"{one['section']}.{one['name']}": one for one in metrics if one["value"] is not None}
    asked = {
        "complete": ("Do sums stay the same?", sums(found, case)),
        "faithful": ("Faithful on members?", faithful(found, case)),
        "control": ("Do maps depend on what was learnt?", learnt(found, case)),
        "agree": ("Do methods agree?", agree(found)),
        "kinds": ("How many kinds of reasons?", kinds(found, case)),
    }
    return [{"question": key, "title": title, "answer": said} for key, (title, said) in asked.items() if said]


def listed(entries):
    """Names with numbers, "a 0.1, b 0.2"."""
    return ", ".join(f"{words(name)} {value:.3g}" for name, value in entries)


def values(found, number, names):
    """(name, value) of a number of methods, where it is there."""
    pairs = [(name, found.get(f"{number}_{name}")) for name in names]
    return [(name, one["value"]) for name, one in pairs if one]


def sums(found, case):
    """Are the totals of complete methods the same on all members?"""
    spreads = values(found, "completeness.total_spread", complete(case))
    off = [pair for pair in spreads if pair[1] > SLACK]
    if not spreads:
        return ""
    if not off:
        return f"Yes, within {SLACK:g} null spreads: {listed(spreads)}."
    held = [pair for pair in spreads if pair not in off]
    return f"No. Their spread in null spreads: {listed(off)}" + (f"; as they should: {listed(held)}." if held else ".")


def faithful(found, case):
    """Which methods beat random orders, on how many members, and which on the query alone?"""
    shares = dict(values(found, "faithfulness.gain_beats", case.methods))
    gains = dict(values(found, "faithfulness.gain", case.methods))
    on_query = dict(values(found, "faithfulness.gain_query", case.methods))
    if not shares:
        return ""
    best = max(gains, key=gains.get)
    text = f"The best is {words(best)}, {gains[best]:.3g} null spreads better than a random order"
    few = [(name, share) for name, share in shares.items() if share < HALF]
    text += (
        f"; better than random on less than half of the members: {listed(few)}" if few else "; all beat random orders"
    )
    lost = [name for name, share in shares.items() if share < HALF and on_query.get(name, 0) > gains[best]]
    return text + (f"; on the query alone: {', '.join(map(words, lost))}." if lost else ".")


def learnt(found, case):
    """Which maps stay when the weights are shuffled?"""
    alike = values(found, "control.unchanged", case.methods)
    stay = [pair for pair in alike if pair[1] > SAME]
    if not alike:
        return ""
    if not stay:
        return f"Yes, with shuffled weights none correlates by more than {SAME:g} with the map before."
    return f"Not all. Correlation with the map of shuffled weights: {listed(stay)}."


def agree(found):
    """Does agreement carry over?"""
    one = found.get("agreement.carry_over")
    if not one:
        return ""
    beside = "" if one["null"] is None else f" (unguided samples of the class: {one['null']:.3g})"
    return f"Pairs that agree on the query agree on members with a rank correlation of {one['value']:.3g}{beside}."


def kinds(found, case):
    """Is the variety of maps that of unguided samples?"""
    every = [found.get(f"variety.vendi_{name}") for name in case.methods]
    compared = [one for one in every if one and one["null"]]
    if not compared:
        return ""
    ratio = sorted(one["value"] / one["null"] for one in compared)[len(compared) // 2]
    count = compared[0]["samples"]
    verdict = "As many as unguided samples of the class have" if ratio >= 0.9 else "Fewer than unguided samples have"
    return f"{verdict}: maps of {count} members have {ratio:.2g} times their variety, median over methods."
