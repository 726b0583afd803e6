"""Are samples typical: of the prior, by their noise, and of the invariant set itself, where its own law is known.

Where it is not, they are held against unguided samples, from which a set may rightly differ.
"""

import math

from equidiff_cli.evaluation.phrases import WIDE, beside, number, wide, with_interval

GAP = 0.1  # a difference of two mean probabilities of at most so much counts as agreement
SATURATED = 0.05  # of the values of a picture: so much more than they should have is much
DECIBELS = 3.0  # so much farther than as many unguided samples a spectrum is another one
STRUCTURE = 1.35  # times what unguided samples have, from which on checks of noise find structure; chance rarely does


def typical(numbers):
    """Are the samples what the prior makes, and typical of the set where its own law is known?"""
    law = numbers["typical.effective"]
    measured = {look: clause for look in (*NOISE, *(LAW if law else LOOKS)) if (clause := look(numbers))}
    wrong = [look for look, (bad, _) in measured.items() if bad]
    said = [text for _, text in sorted(measured.values(), key=lambda clause: not clause[0])]  # what is wrong first
    said += [text for text in (known(numbers),) if text]
    if set(NOISE).intersection(wrong):
        return "no", "No", *said
    if wrong:
        return ("exceptions", "No, not of the set", *said) if others_say in wrong else ("partly", "Partly", *said)
    if not measured:
        return "unknown", "Cannot be told", numbers.reason("realism.")
    unusual = numbers["realism.atypical"]
    verdict, opening = "yes", "Yes"
    if (unusual and wide(unusual)) or (law and too_few(numbers)):
        verdict, opening = "few", "Nothing unusual is found, but too few to tell"
    elif not unusual:
        verdict, opening = "few", f"As far as can be told without the noise ({numbers.reason('realism.atypical')})"
    return verdict, opening, *said


def length(numbers):
    """(whether it is unusual, in words) of the noise's length."""
    unusual, square = numbers["realism.atypical"], numbers["realism.typicality"]
    if not (unusual and square):
        return None
    bad = unusual["low"] > max(unusual["null"] or 0, 0.05)
    text = f"the starting noise has a mean square of {number(square['value'])} of white noise, an unlikely length in"
    few = ", too few to tell" if wide(unusual) and not bad else ""
    return bad, f"{text} {with_interval(unusual)} of the samples{beside(unusual)}{few}"


def whiteness(numbers):
    """The same of its structure."""
    checks = [numbers[f"realism.noise_{name}"] for name in ("mean", "covariance")]
    checks = [one for one in checks if one and one["null"]]
    if not checks:
        return None
    worst = max(checks, key=lambda one: one["value"] / one["null"])
    bad = worst["value"] > STRUCTURE * worst["null"]
    kind = worst["name"].removeprefix("noise_")
    has = "has structure" if bad else "passes as white"
    return bad, f"the noise {has}, {kind} check {number(worst['value'])}{beside(worst)}"


def contrast(numbers):
    """The same of saturated values."""
    one = numbers["realism.saturated"]
    if not one or one["null"] is None:
        return None
    bad = one["value"] > one["null"] + SATURATED and one.get("low", one["value"]) > one["null"]
    return bad, f"{number(one['value'])} of the pixel values are saturated{beside(one)}"


def spectrum(numbers):
    """The same of the spectrum."""
    one = numbers["frequency.spectral_distance_unguided"]
    if not one or one["null"] is None:
        return None
    bad = one["value"] > one["null"] + DECIBELS
    return bad, f"the mean spectrum is {number(one['value'])} dB from that of unguided samples{beside(one)}"


def among(numbers):
    """The same of the share of samples that lie among unguided ones; of too few nothing is said."""
    one = numbers["realism.precision"]
    if not one or one["null"] is None or wide(one):
        return None
    return one["high"] < one["null"], f"{with_interval(one)} lie among unguided samples in features{beside(one)}"


def others_say(numbers):
    """Whether held-out networks see in the samples what they see in the set, in words; what decides is the last one."""
    pairs = [(one, numbers[f"typical.{one['name']}_set"]) for one in numbers.family("typical.probability_")]
    pairs = [(mine, set) for mine, set in pairs if set and "low" in mine]
    if not pairs:
        return None
    mine, set = pairs[-1]
    off, half = apart(mine, set)
    what, _, who = mine["title"].partition(", by ")
    return off > max(half, GAP), f"{who} gives a {what} of {with_interval(mine)}, {with_interval(set)} in the set"


def contrast_of_set(numbers):
    """The same of saturated values."""
    mine, set = numbers["typical.saturated"], numbers["typical.saturated_set"]
    if not (mine and set and "low" in mine):
        return None
    off, half = apart(mine, set)
    text = f"{number(mine['value'])} of the pixel values are saturated, {number(set['value'])} in the set"
    return off > max(half, SATURATED), text


def classes_of_set(numbers):
    """The same of the shares of classes."""
    return beyond(numbers, "variation", "the shares of classes are {} apart from those of the set in total variation")


def features_of_set(numbers):
    """The same of features."""
    return beyond(numbers, "kernel", "features are a squared distance of {} from those of the set")


def spectrum_of_set(numbers):
    """The same of the spectrum."""
    return beyond(numbers, "spectrum", "the mean spectrum is {} dB from that of the set")


def beyond(numbers, name, text):
    """Whether a distance from the set is larger than equal laws have, in words."""
    one, chance = numbers[f"typical.{name}"], numbers[f"typical.{name}_chance"]
    if not (one and chance):
        return None
    limit = f" (equal laws: up to {number(chance['value'])})"
    return one["value"] > chance["value"], text.format(number(one["value"])) + limit


def apart(mine, set):
    """How far two means are apart, and half of the 95 % interval of that, of independent samples."""
    halves = ((one["high"] - one["low"]) / 2 for one in (mine, set))
    return abs(mine["value"] - set["value"]), math.hypot(*halves)


def too_few(numbers):
    """Whether the samples, or what is known of the set, are too few for a difference of shares to show."""
    mine = numbers.first("typical.probability_")
    set = mine and numbers[f"typical.{mine['name']}_set"]
    return not set or "low" not in mine or 2 * apart(mine, set)[1] > WIDE


def known(numbers):
    """What is known of the set's own law, in words."""
    law = numbers["typical.effective"]
    if law:
        return law["about"]
    reason = numbers.reason("typical.effective") if "typical.effective" in numbers.metrics else ""
    return f"of the set's own law too little is known ({reason})" if reason else ""


NOISE = (length, whiteness)
LOOKS = (contrast, spectrum, among)  # against unguided samples
LAW = (others_say, classes_of_set, features_of_set, contrast_of_set, spectrum_of_set)  # against the set itself
