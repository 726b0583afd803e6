"""What comes first on the page: what was found, in the sentences of the evaluation, or what the records alone say."""

QUESTIONS = ("held", "typical", "agreement", "differs", "mixed", "next")  # in this order


def findings(run):
    """The findings of the evaluation of a run, each a dict with `title` and `answer`; [] without any."""
    found = (run.evaluation or {}).get("findings", [])
    return sorted(found, key=lambda one: QUESTIONS.index(one["question"]) if one["question"] in QUESTIONS else 9)


def query_seen(run):
    """What the networks see in the query; the evaluation, which asks more of them, has the last word."""
    return (run.evaluation or {}).get("query_seen") or run.summary.get("query_seen") or {}


def said(seen):
    """What networks see in a picture, in words: "smallconv: cat 0.93 | smallresnet: truck 0.88"."""
    return " | ".join(f"{name}: {it['class']} {it['probability']:.2f}" for name, it in (seen or {}).items())


def disagreement(record):
    """The number of the evaluation, else the highest probability that a network gives to another class than the first
    one does, 0 where all see the same; None where fewer than two networks were asked."""
    if record.get("disagreement") is not None:
        return record["disagreement"]
    first, *others = list((record.get("seen") or {}).values()) or [None]
    return max((it["probability"] * (it["class"] != first["class"]) for it in others), default=None)
