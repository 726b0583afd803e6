"""The page of an audit: what was found in one run, or in many of one network, with the pictures that show it."""

import base64
import datetime
import hashlib
import json
from pathlib import Path

import jinja2
from markupsafe import Markup

from equidiff_cli import __version__
from equidiff_cli.report import words
from equidiff_cli.report.pictures import embed
from equidiff_cli.runs import names

HERE = Path(__file__).parent
MOST_RUNS = 12  # that are shown with pictures
ATTRIBUTES = 6  # of a run alone whose ends are shown; of several, a third
LIMIT, MOST_BYTES = 128, 8000  # pixels and bytes of a picture
GENERATOR = f"EquiDiff audit {__version__}"
MARK = '<meta name="generator" content="EquiDiff audit '  # stands in every page that was written here


def render(paths, summary):
    """The page as text.

    Args:
        paths: of the audited runs, whose `audit.json` are read one after the other.
        summary: of `audit.network.Together`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = words.number
    environment.filters["setting"] = words.setting
    environment.filters["pathless"] = words.pathless
    worst = [one["run"] for one in summary["worst"]]
    shown = [path for path in paths if str(path) in worst][:MOST_RUNS]
    shown.sort(key=lambda path: worst.index(str(path)))
    script = (HERE / "page.js").read_text()
    return environment.get_template("audits.html").render(
        generator=GENERATOR,
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        style=Markup((HERE / "page.css").read_text()),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        title=title(summary),
        summary=summary,
        runs=[section(path, i, len(shown)) for i, path in enumerate(shown)],
        left=len(paths) - len(shown),
        several=len(paths) > 1,
    )


def title(summary):
    """The page's name: the network in question."""
    targets = [words.pathless(name) for name in summary["targets"]]
    return f"What {targets[0]} looks at" if len(targets) == 1 else f"What {len(targets)} networks look at"


def section(path, number, runs):
    """What the template needs about one run."""
    found = json.loads((path / names.AUDIT).read_text())
    rows = found["attributes"]
    most = ATTRIBUTES if runs == 1 else ATTRIBUTES // 3
    return {
        "id": f"run-{number}",
        "path": path,
        "found": found,
        "query": picture(path / f"{names.QUERY}.png"),
        "query_name": words.pathless(str(found["query"])),
        "ends": [ends(path, row) for row in rows[:most]],
        "clusters": [clustered(path, space) for space in found["clusters"].get("spaces", [])],
        "alone": [(picture(path / one["file"]), one) for one in found["disagreement"].get("members", [])],
        "near": [near(path, row) for row in found["generalisation"].get("nearest", [])],
    }


def ends(path, row):
    """An attribute with the members and the unguided samples at both of its ends."""
    unguided = [[path / names.AUDITED / f"{i:04d}.png" for i in part] for part in row["unguided"]]
    members = [[path / file for file in part] for part in row["members"]]
    return {
        "row": row,
        "kinds": [
            (kind, [[picture(file) for file in part] for part in files])
            for kind, files in (("members", members), ("unguided", unguided))
        ],
    }


def clustered(path, space):
    """The clusters of one kind with their pictures."""
    pictures = [[picture(path / file) for file in one["files"]] for one in space["clusters"]]
    return {"title": space["title"], "clusters": list(zip(space["clusters"], pictures, strict=True))}


def near(path, row):
    """A member beside the real picture nearest to it."""
    seen = "; ".join(f"{name}: {it['class']} {it['probability']:.2f}" for name, it in row["seen"].items())
    return {"member": picture(path / row["member"]), "real": picture(Path(row["real"])), "seen": seen, "row": row}


def picture(file):
    """The picture of a file, small; None where it cannot be read."""
    found = embed(file, limit=LIMIT, most_bytes=MOST_BYTES)
    return found.thumb if found else None
