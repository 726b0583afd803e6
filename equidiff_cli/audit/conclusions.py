"""What was found, in sentences for people; every one follows from numbers that stand in the audit."""

HELD, MOVED = "held", "moved"
FEW = 3  # attributes that a sentence names
MUCH = 0.2  # more than this share of members than of unguided samples that the target alone calls so, is much
BROKEN = 0.5  # null spreads of the median error from which on a handling breaks the value
TOLD = 0.75  # area under the curve from which on members are told from real pictures


def conclusions(found):
    """The findings, a dict each with `question`, `title` and `answer`."""
    sentences = {
        "looks": ("What does the network look at?", looks(found)),
        "ignores": ("What does it ignore?", ignores(found)),
        "shortcut": ("Do other networks agree?", alone(found["disagreement"])),
        "groups": ("Is the value the same for two groups?", fair(found["groups"])),
        "robust": ("Does the value survive handling?", robust(found["robustness"])),
        "real": ("Can members be told from real pictures?", real(found["detector"])),
    }
    return [{"question": key, "title": title, "answer": answer} for key, (title, answer) in sentences.items()]


def bound(rows, *standings):
    """The rows of some standing, of which the law of the set, where it is known, says the same."""
    return [row for row in rows if row["standing"] in standings and row["law"] != "disagrees"]


def looks(found):
    """What members hold or move, the attributes that membership tells most about first."""
    rows = found["attributes"]
    said = [in_words(row) for row in bound(rows, HELD, MOVED)[:FEW]]
    drawn = [row["title"] for row in rows if row["standing"] in (HELD, MOVED) and row["law"] == "disagrees"]
    text = "Above all at: " + "; ".join(said) + "." if said else "At nothing that is measured here."
    more = len(bound(rows, HELD, MOVED)) - len(said)
    text += f" {more} more attributes are held or moved." if more > 0 else ""
    if drawn:
        text += f" Not counted, since the law of the set does not confirm it: {', '.join(drawn[:FEW])}."
    return text


def in_words(row):
    """One attribute that is held or moved."""
    low, high = row["ratio_interval" if row["standing"] == HELD else "shift_interval"]
    if row["standing"] == HELD:
        return f"{row['title']}, held to {row['ratio']:.2f} [{low:.2f}, {high:.2f}] of its usual spread"
    end = row["high"] if row["shift"] > 0 else row["low"]
    return f"{row['title']}, moved to {end} by {row['shift']:+.2f} [{low:+.2f}, {high:+.2f}] usual spreads"


def ignores(found):
    """What varies among members as it does by chance."""
    rows = [row["title"] for row in found["attributes"] if row["standing"] == "ignored"]
    unclear = sum(row["standing"] == "unclear" for row in found["attributes"])
    are = "attribute is" if len(rows) == 1 else "attributes are"
    text = f"{len(rows)} {are} as chance: {', '.join(rows[:6])}{', ...' * (len(rows) > 6)}." if rows else ""
    more = f" {unclear} cannot be told with {found['members']} members." if unclear else ""
    return (text + more).strip() or "Nothing here varies as by chance."


def alone(found):
    """How many members the target alone calls what it calls the query."""
    if "share" not in found:
        return f"Cannot be told: {found['reason']}."
    low, high = found["interval"]
    many = low > found["unguided_share"] + MUCH
    opening = "No" if many else "As much as chance has it"
    return (
        f"{opening}: {found['share']:.2f} [{low:.2f}, {high:.2f}] of the members are {found['class']} to the target and"
        f" not to {' or '.join(found['networks'])} (unguided samples: {found['unguided_share']:.2f})."
    )


def fair(found):
    """Whether the value differs between two groups, and who is among the members."""
    low, high = found["interval"]
    if not low <= found["unguided_share"] <= high:
        text = f"Members are {found['high']} in {found['share']:.2f} [{low:.2f}, {high:.2f}]"
        text += f", unguided samples in {found['unguided_share']:.2f}: the set favours a group."
    else:
        text = (
            f"Members fall into both as chance does, {found['share']:.2f} [{low:.2f}, {high:.2f}] are {found['high']}."
        )
    if found["reason"]:
        return f"Cannot be told: {found['reason']}. {text}"
    same = "Yes" if found["p"] >= 0.05 else "No"
    return f"{same}: the mean value differs by {found['difference']:+.3f} null spreads (p = {found['p']:.2g}). {text}"


def robust(rows):
    """What breaks the value."""
    broken = [f"{row['error']:.2f} after {row['title']}{beside(row)}" for row in rows if row["error"] > BROKEN]
    if not broken:
        return f"Yes: no handling moves it by more than {BROKEN:g} null spreads in the median."
    return f"No: the median error in null spreads is {', '.join(broken)}."


def beside(row):
    """The query's own error, where there is a query."""
    return "" if row["query"] is None else f" (the query {row['query']:.2f})"


def real(found):
    """Whether a detector tells members from real pictures, beside unguided samples."""
    if found["reason"]:
        return f"Not asked: {found['reason']}."
    area = {row["kind"]: row for row in found["rows"]}
    mine, chance = area["members"], area["unguided"]
    low, high = mine["interval"]
    opening = "Yes" if low > TOLD else "Hardly" if high < TOLD else "Perhaps"
    return (
        f"{opening}: area under the curve {mine['area']:.2f} [{low:.2f}, {high:.2f}], unguided samples"
        f" {chance['area']:.2f}; 0.5 is a guess."
    )
