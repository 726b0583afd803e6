"""Many audits put together: one answer for a network, and a table with a row for each run and attribute."""

import csv
import io
from collections import Counter

from equidiff_cli.runs.names import AUDIT_KEYS

COLUMNS = (*AUDIT_KEYS.strip(",").split(","), "members", "attribute", "title", "rank", "standing", "law", "bits")
COLUMNS += ("ratio", "ratio_low", "ratio_high", "shift", "shift_low", "shift_high", "spread_q", "shift_q")
COLUMNS += ("query_value", "mean", "std", "unguided_mean", "unguided_std", "law_ratio", "law_shift")
WORST = 12  # queries that are shown


class Together:
    """What many audits say of one network; it grows with attributes and classes, not with runs."""

    def __init__(self):
        self.runs, self.members, self.targets = 0, 0, Counter()
        self.standings, self.bits, self.titles = {}, Counter(), {}
        self.classes, self.worst = {}, []

    def take(self, path, found):
        """Take in the audit of a run."""
        self.runs += 1
        self.members += found["members"]
        self.targets[found["target"]] += 1
        for row in found["attributes"]:
            standing = "unconfirmed" if row["law"] == "disagrees" else row["standing"]
            self.standings.setdefault(row["name"], Counter())[standing] += 1
            self.bits[row["name"]] += min(row["bits"], 10.0)
            self.titles[row["name"]] = row["title"]
        apart = found["disagreement"]
        if "share" in apart:
            count, alone, chance = self.classes.get(apart["class"], (0, 0.0, 0.0))
            self.classes[apart["class"]] = count + 1, alone + apart["share"], chance + apart["unguided_share"]
        excess = apart.get("share", 0.0) - apart.get("unguided_share", 0.0)
        self.worst = sorted([*self.worst, (excess, str(path))], key=lambda pair: (-pair[0], pair[1]))[:WORST]

    def summary(self):
        """The same as plain dicts and lists, what is held or moved in most queries first."""
        rows = [
            {"name": name, "title": self.titles[name], "bits": self.bits[name] / sum(counts.values())}
            | {key: counts[key] for key in ("held", "moved", "ignored")}
            | {"queries": sum(counts.values())}
            for name, counts in self.standings.items()
        ]
        rows.sort(key=lambda row: (-(row["held"] + row["moved"]), -row["bits"]))
        classes = [
            {"class": name, "queries": count, "share": alone / count, "unguided_share": chance / count}
            for name, (count, alone, chance) in self.classes.items()
        ]
        classes.sort(key=lambda row: row["unguided_share"] - row["share"])
        worst = [{"run": path, "excess": excess} for excess, path in self.worst]
        return {
            "runs": self.runs,
            "members": self.members,
            "targets": dict(self.targets),
            "attributes": rows,
            "classes": classes,
            "worst": worst,
            "answer": answer(rows, self.runs),
        }


def answer(rows, runs):
    """What the network looks at, in one sentence."""
    common = [row for row in rows if 2 * (row["held"] + row["moved"]) > row["queries"]]
    if not common:
        return f"No attribute is held or moved in more than half of the {runs} queries."
    said = [f"{row['title']} (in {row['held'] + row['moved']} of {row['queries']})" for row in common[:3]]
    return f"In most queries the network looks at {', '.join(said)}."


def heading():
    """The first line of the table."""
    return ",".join(COLUMNS) + "\n"


def lines(path, found):
    """The rows of one run, as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    for rank, row in enumerate(found["attributes"], 1):
        (low, high), (left, right) = row["ratio_interval"], row["shift_interval"]
        of_run = {key: found[key] for key in ("target", "objective", "query", "members")}
        bounds = {"ratio_low": low, "ratio_high": high, "shift_low": left, "shift_high": right}
        names = {"run": path, "attribute": row["name"], "query_value": row["query"], "rank": rank}
        writer.writerow({**row, **of_run, **bounds, **names})
    return text.getvalue()
