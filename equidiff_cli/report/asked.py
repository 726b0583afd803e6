"""What a run was asked, in sentences: the question, what it asks besides, and where its samples began."""

from equidiff_cli.report.words import given, held, number, other, target


def terms(run):
    """What each term of `objective=all` holds and in which target; [] for a single question."""
    return (run.summary.get("question") or {}).get("terms") or []


def endless(run):
    """Whether nothing was to be reached."""
    return bool((run.summary.get("question") or {}).get("endless"))


def sentences(run):
    """What was asked, a sentence each."""
    what = "pictures" if run.pictured else "points"
    said = other(run) or f"holding the {held(run)} in {target(run)} at the query’s value"
    found = [f"Which {what} come of {said}?"]
    if terms(run):
        found.append("All of it at once, each in units of its own spread over unguided samples.")
    if endless(run):
        found.append("Nothing of it is ever reached: every sample used up its budget, and its best step was kept.")
    return [*found, *region(run), *beginning(run), *repelled(run), *nothing(run)]


def region(run):
    """Of the region."""
    settings = run.settings
    if settings.get("region") is None:
        return
    where = settings["region"]
    where = f"the box {where}" if isinstance(where, list) else str(where)
    share = settings.get("region_share")
    where = f"the {share:.0%} of it to which the value owes most" if where == "attribution" else where
    if settings.get("region_role") == "evidence":
        yield f"Only the region counts ({where}): the target sees the query’s mean colour everywhere else."
    else:
        yield f"Only in the region may they differ ({where}): elsewhere the files have the query’s own pixels."


def beginning(run):
    """Of where samples began."""
    start = run.summary.get("start")
    if not start:
        return
    least, most = start["near"]
    share = number(least) if least == most else f"{number(least)} to {number(most)}"
    yield (
        f"Samples began {share} of the way from the query’s own noise (0) to fresh noise (1); the picture of the"
        f" query’s noise has {start['psnr']:.1f} dB."
    )


def repelled(run):
    """Of repulsion."""
    if run.settings.get("diverse"):
        yield (
            "Samples of a batch repelled each other in the target’s features: they are not independent, and intervals"
            " that assume so are too narrow."
        )


def nothing(run):
    """Of no query."""
    if given(run) == "none":
        yield "There was no query."


def ordered(run):
    """Whether samples are shown by their distance from the query: where they began near it, or kept to a region."""
    near = run.settings.get("near") is not None or bool(run.summary.get("start"))
    return near and all(record.get("distance") is not None for record in run.rows)
