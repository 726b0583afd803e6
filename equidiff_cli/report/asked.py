"""What a run was asked, in sentences: the question, what it asks besides, and where its samples began."""

from equidiff_cli.report.words import endless, given, held, other, target


def terms(run):
    """What each term of `objective=all` holds and in which target; [] for a single question."""
    return (run.summary.get("question") or {}).get("terms") or []


def sentences(run):
    """What was asked, a sentence each."""
    said = other(run) or f"holding the {held(run)} in {target(run)} at the query’s value"
    found = [f"{said[:1].upper()}{said[1:]}."]
    if terms(run):
        found.append("All of it at once, each in units of its own spread over unguided samples.")
    if endless(run):
        found.append("What has no end is never reached: every sample used up its budget, and its best step was kept.")
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
    share = f"{least:.0%}" if least == most else f"{least:.0%} to {most:.0%}"
    where = f"{share} of the way from the query’s own noise to fresh noise" if most else "at the query’s own noise"
    yield f"Samples began {where}; the picture of that noise resembles the query by {start['psnr']:.1f} dB."


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
