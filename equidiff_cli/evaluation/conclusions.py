"""Five questions about a run and what its numbers answer, one sentence each.

Every sentence names the numbers that it rests on, and its first words follow from them by the thresholds below: a
sentence that its own numbers refute is a defect. What has no number is not spoken of. Whether samples are typical says
`looks.py`.
"""

from equidiff_cli.evaluation.advice import advice
from equidiff_cli.evaluation.looks import typical
from equidiff_cli.evaluation.moved import moved
from equidiff_cli.evaluation.phrases import beside, by_chance, number, plural, sentence, wide, with_interval

MOST, HALF = 0.9, 0.5  # shares from which on something is said of all, and of most samples
HELD = 0.25  # null spreads; an error of at most so much counts as held
GAP = 0.1  # a difference of two shares of at most so much counts as agreement
VARIED, LITTLE = 0.8, 0.5  # effective samples over those of as many unguided ones: as varied, and hardly varied
SAME = 0.1  # of the smallest distance of unguided samples: two nearer samples are nearly one picture
TITLES = {
    "held": "Held?",
    "typical": "Typical?",
    "agreement": "Do other networks agree?",
    "differs": "What differs?",
    "next": "What next?",
}


def conclusions(evaluation, asked):
    """The findings of an evaluation: a list of {"question", "title", "answer"}.

    Args:
        evaluation: what `evaluation.json` holds besides.
        asked: what the run was asked, see `advice.asked`.
    """
    numbers = Numbers(evaluation, asked["failed"])
    found = {one.__name__: one(numbers) for one in (held, typical, agreement, differs)}
    said = {name: sentence(*answer) for name, (_, *answer) in found.items()}
    verdicts = {name: verdict for name, (verdict, *_) in found.items()}
    jpeg = numbers.first("invariance.jpeg_")
    verdicts["jpeg"] = "lost" if jpeg and jpeg["value"] > HELD else "kept"
    said["next"] = advice(verdicts, numbers, asked)
    return [{"question": name, "title": title, "answer": said[name]} for name, title in TITLES.items()]


class Numbers:
    """The numbers of an evaluation by name: `numbers["invariance.jpeg_90"]` is a metric, None if it has no value.

    Args:
        failed: how many samples were drawn besides that were not finite.
    """

    def __init__(self, evaluation, failed=0):
        self.rows, self.query, self.failed = evaluation["per_sample"], evaluation["query_seen"], failed
        self.question = evaluation.get("question") or {}
        self.unit = next(iter(evaluation.get("null_middle", [])), 0.0), evaluation.get("null_spread", 1.0)
        self.metrics = {f"{one['section']}.{one['name']}": one for one in evaluation["metrics"]}

    def __getitem__(self, name):
        metric = self.metrics.get(name)
        return metric if metric and metric["value"] is not None else None

    def family(self, begin):
        """The metrics that have a value and whose names begin so, but for those of the query alone."""
        names = [name for name in self.metrics if name.startswith(begin) and not name.endswith("_query")]
        return [self[name] for name in names if self[name]]

    def first(self, begin):
        """The first metric of a family, or None."""
        return next(iter(self.family(begin)), None)

    def reason(self, begin):
        """Why a family has no value."""
        reasons = (one["reason"] for name, one in self.metrics.items() if name.startswith(begin))
        return next(filter(None, reasons), "not measured")


def held(numbers):
    """Is the objective held, on the saved files and after JPEG?"""
    if numbers.question.get("endless"):
        return moved(numbers.rows, numbers.question, numbers.unit)
    within = numbers.first("invariance.success_")
    if not within:
        return "unknown", "Cannot be told", numbers.reason("invariance.success_")
    verdict, opening = "no", "No"
    if wide(within):
        verdict, opening = "few", "Too few to tell"
    elif by_chance(within):
        verdict, opening = "chance", "No more than by chance"
    elif within["value"] >= MOST:
        verdict, opening = "yes", "Yes"
    elif within["value"] >= HALF:
        verdict, opening = "most", "For most"
    tolerance = within["name"].removeprefix("success_")
    count = within["samples"] + numbers.failed
    files = f"a share of {with_interval(within)} of {plural(count)} is within {tolerance} null spreads on file"
    return verdict, opening, files + beside(within), on_file(numbers.rows), after_jpeg(numbers)


def on_file(rows):
    """How many samples that converged are members as saved, in words."""
    converged = [row for row in rows if row["status"] == "converged" and "on_file" in row]
    outside = sum(not row["on_file"] for row in converged)
    if not converged:
        return "" if any("on_file" not in row for row in rows) else "none converged"
    if not outside:
        them = "the one that converged is" if len(converged) == 1 else f"all {len(converged)} that converged are"
        return f"{them} below the run's threshold on file, too"
    return f"{outside} of {len(converged)} that converged lie outside the run's threshold after rounding to 8 bits"


def after_jpeg(numbers):
    """What JPEG leaves of it, in words."""
    jpeg = numbers.first("invariance.jpeg_")
    if not jpeg:
        return ""
    limit = "within" if jpeg["value"] <= HELD else "beyond"
    quality = jpeg["name"].removeprefix("jpeg_")
    return (
        f"after JPEG of quality {quality} the median error is {number(jpeg['value'])} null spreads{beside(jpeg)},"
        f" {limit} the {HELD:g} that counts as held"
    )


def agreement(numbers):
    """Do other networks see what the target sees?"""
    known = numbers.family("agreement.gap_")
    if not known:
        return "unknown", "Cannot be told", numbers.reason("agreement.gap")
    target = numbers["agreement.class_target"]
    clauses = [gap_of(one, numbers.query) for one in sorted(known, key=lambda one: -abs(one["value"]))]
    more = [f"and {len(clauses) - 3} more"] if len(clauses) > 3 else []
    said = *clauses[:3], *more
    verdicts = [verdict_of(one) for one in known]
    if "no" in verdicts:
        return "no", "No" if len(set(verdicts)) == 1 else f"{verdicts.count('no')} of {len(known)} do not", *said
    if "few" in verdicts:
        return "few", "Too few to tell", *said
    if target and target["high"] < HALF:
        seen = f"the target itself sees the query's class in only {with_interval(target)} of the samples"
        return "little", "There is little to agree on", seen, *said
    if "partly" in verdicts:
        return "partly", "Partly", *said
    return "yes", "Yes", *said


def verdict_of(gap):
    """What one gap says."""
    if wide(gap):
        return "few"
    if gap["low"] > GAP or gap["high"] < -GAP:
        return "no"
    return "yes" if abs(gap["value"]) <= GAP else "partly"


def gap_of(gap, query):
    """One gap in words."""
    name = gap["name"].removeprefix("gap_")
    called = next(iter(query.values()), {"class": "what the target sees in the query"})["class"]
    bounds = f"gap {with_interval(gap, beside(gap, '; unguided: ', ''))}"
    share = f"a {'smaller' if gap['value'] > 0 else 'larger'} share" if gap["value"] else "the same share"
    than = "than" if gap["value"] else "as"
    return f"{name} calls {share} of the samples {called} {than} the target does, {bounds}{of_query(name, query)}"


def of_query(name, query):
    """What is said where a network sees something else in the query itself."""
    ours, theirs = next(iter(query.values()), None), query.get(name)
    if not (ours and theirs) or ours["class"].lower() == theirs["class"].lower():
        return ""
    return f", and the query itself {theirs['class']}, not {ours['class']}"


def differs(numbers):
    """What varies among the samples?"""
    every = numbers.family("diversity.vendi_")
    spaces = [one for one in every if one["name"] != "vendi_pixels"] or every  # pixels differ by contrast alone, too
    if not spaces:
        reason = numbers.reason("diversity.vendi_")
        return (
            ("few", "Too few to tell", reason) if reason.startswith("needs") else ("unknown", "Cannot be told", reason)
        )
    compared = [one for one in spaces if one["null"]]
    if not compared:
        effective = [variety(one) for one in reversed(spaces)]
        return "alone", f"There is nothing to compare with ({spaces[0]['null_reason']})", *effective
    main = compared[-1]  # of the network that took least part
    ratio = main["value"] / main["null"]
    verdict, opening = "little", "They differ little"
    if ratio >= VARIED:
        verdict, opening = "yes", "They differ as much as unguided samples do"
    elif ratio >= LITTLE:
        verdict, opening = "less", "They differ less than unguided samples do"
    nearest = numbers["diversity.nearest_" + main["name"].removeprefix("vendi_")]
    return verdict, opening, variety(main), twins(nearest), *(variety(one) for one in compared[-2::-1])


def variety(vendi):
    """The effective number of samples in one space, in words."""
    space = vendi["title"].partition(", ")[2]
    return f"in {space} {plural(vendi['samples'])} count as {number(vendi['value'])} different ones{beside(vendi)}"


def twins(nearest):
    """What the nearest pair says, in words."""
    if not nearest or not nearest["null"]:
        return ""
    near = nearest["value"] < SAME * nearest["null"]
    said = "at least two are nearly one picture, the nearest pair is" if near else "the nearest pair is"
    return f"{said} {number(nearest['value'])} apart there{beside(nearest)}"
