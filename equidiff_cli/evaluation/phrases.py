"""What the sentences about a run are put together from: numbers with their intervals, in words."""

WIDE = 0.35  # an interval of a share, or of a difference of two, that is wider is too few samples to tell


def sentence(opening, *clauses):
    """One sentence of what is found and the numbers for it."""
    said = "; ".join(clause for clause in clauses if clause)
    return f"{opening}: {said}." if said else f"{opening}."


def wide(metric):
    """Whether there are too few samples to tell a share or a difference of shares: the one rule for all of them."""
    return "low" not in metric or metric["high"] - metric["low"] > WIDE


def by_chance(metric):
    """Whether unguided samples have as high a share, as far as the interval tells."""
    return metric["null"] is not None and metric["null"] >= metric["low"]


def plural(count):
    """How many samples there are, in words."""
    return f"{count} sample{'s' * (count != 1)}"


def number(value):
    """A number in three digits."""
    return f"{value:.3g}"


def with_interval(share, more=""):
    """A share, or a difference of two, and its interval."""
    return f"{number(share['value'])} (95 %: {number(share['low'])} to {number(share['high'])}{more})"


def beside(metric, before=" (unguided: ", after=")"):
    """What unguided samples have, "" where that is unknown."""
    return "" if metric["null"] is None else f"{before}{number(metric['null'])}{after}"
