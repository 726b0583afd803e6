"""The page: everything about the runs put into one HTML text that needs nothing else."""

import base64
import datetime
import hashlib
import shlex
from pathlib import Path

import jinja2
from markupsafe import Markup

from equidiff_cli import __version__
from equidiff_cli.report import comparisons, matrix, methods, plots, words
from equidiff_cli.report.asked import sentences
from equidiff_cli.report.explained import explained
from equidiff_cli.report.film import strips
from equidiff_cli.report.found import findings, query_seen, said
from equidiff_cli.report.labels import asking, differing, labels
from equidiff_cli.report.pictures import LARGE, drawing, embed
from equidiff_cli.report.samples import columns, samples
from equidiff_cli.report.svg import draw
from equidiff_cli.report.sweep import MOST_KEYS, measured, outcomes
from equidiff_cli.runs import names as files
from equidiff_cli.runs.reader import error

HERE = Path(__file__).parent
MOST_PICTURES = 256  # on one page, beside the queries; every run has at least two
MOST_OVERLAID = 8  # samples with maps on one page; every run has at least one
MOST_ROWS = 4000  # of tables of samples, all runs together
MOST_BYTES = 4_500_000  # of all pictures together; as text they take a third more
MOST_SECTIONS = 200  # runs with a section of their own; further ones stand in the table alone
SECTIONS = (
    "invariance",
    "counterfactual",
    "frequency",
    "diversity",
    "realism",
    "typical",
    "agreement",
    "cost",
    "mixing",
)
SUMMARY = {  # keys of summary.json that are shown beside versions and weights
    "device": "device",
    "precision": "precision of the prior",
    "wall_seconds": "wall time (s)",
    "samples_per_hour": "samples an hour",
    "peak_memory_mib": "peak memory (MiB)",
    "null_spread": "null distance",
    "loss_scale": "loss scale",
}
GENERATOR = f"EquiDiff report {__version__}"


def render(runs):
    """The page for `runs` (of `data.read`) as text."""
    most = max(2, MOST_PICTURES // len(runs))
    most_rows = MOST_ROWS // len(runs) + 1
    total = sum(min(len(run.rows), most) * 5 // 4 + 1 for run in runs[:MOST_SECTIONS])  # unguided ones take a quarter
    budget = {"limit": LARGE if total <= 65 else 192, "most_bytes": MOST_BYTES // total}
    keys = differing(runs)
    names = labels(runs, keys)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = words.number
    environment.filters["setting"] = words.setting
    environment.filters["pathless"] = words.pathless
    environment.globals["figure"] = Figures()
    script = (HERE / "page.js").read_text()
    return environment.get_template(
        "page.html"
    ).render(
        generator=GENERATOR,
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        style=Markup((HERE / "page.css").read_text()),  # our own files, nothing of a run is in them
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        several=len(runs) > 1,
        runs=[
            section(run, i, most, most_rows, budget, max(1, MOST_OVERLAID // len(runs)))
            for i, run in enumerate(runs[:MOST_SECTIONS])
        ],
        sectionless=len(runs) - MOST_SECTIONS,
        overview=overview(runs, names, keys) if len(runs) > 1 else None,
        title=title(runs),
    )


class Figures:
    """Draws plots with ids that are unique on the page."""

    def __init__(self):
        self.count = 0

    def __call__(self, plot):
        self.count += 1
        return draw(plot, f"plot-{self.count}")


def title(runs):
    """The page's name: the question if all runs ask the same, else how many there are."""
    if len(kinds(runs)) > 1:
        return f"{len(runs)} runs that hold different things"
    return words.question(next((run for run in runs if run.finished), runs[0]))  # its words are the exact ones


def kinds(runs):
    """(target, objective, query) of every question that is asked; runs that failed at once do not count."""
    begun = [run for run in runs if not run.failure]
    return list({words.asks(run): (words.target(run), words.held(run), words.query(run)) for run in begun}.values())


def section(run, i, most, most_rows, budget, most_overlaid):
    """Everything the template needs about one run: `most` samples with pictures that keep to the `budget`, `most_rows`
    rows in tables of samples, maps over `most_overlaid` samples."""
    shown = columns(run)
    cards, rows = samples(run, shown, most, budget)
    curves = list(plots.evaluated(run))
    metrics = (run.evaluation or {}).get("metrics", [])
    known = [*SECTIONS, *dict.fromkeys(m["section"] for m in metrics if m["section"] not in SECTIONS)]
    command, remarks = words.command(run)
    return {
        "id": f"run-{i}",
        "run": run,
        "question": words.question(run),
        "asked": sentences(run),
        "other": words.other(run),
        "endless": words.endless(run),
        "aimed": words.aimed(run),
        "facts": words.facts(run),
        "outcome": words.outcome(run),
        "findings": findings(run),
        "query_seen": said(query_seen(run)),
        "query": None if words.given(run) == "none" else embed(run.query_file, **budget),
        "region": embed(run.path / files.REGION, limit=budget["limit"] // 2, most_bytes=budget["most_bytes"] // 4),
        "cards": cards,
        "pairs": any(card.unguided for card in cards),
        "seen": any(card.seen for card in cards),
        "films": strips(run),
        "given": words.given(run),
        "pixels": next((card.picture for card in cards if card.picture), None),
        "left_out": len(rows) - len(cards) if cards else 0,
        "drawing": None if run.pictured else drawing(run.grid_file),
        "columns": shown,
        "unit": next((unit for _, unit in (error(run, record) for record in run.rows) if unit), ""),
        "rows": rows[:most_rows],
        "rows_left": len(rows) - most_rows,
        "warnings": warnings(run),
        "plots": [plot for plot in (plots.loss(run, most), plots.typicality(run, most)) if plot],
        "evaluation": [
            (name, [m for m in metrics if m["section"] == name], [plot for where, plot in curves if where == name])
            for name in known
            if any(m["section"] == name for m in metrics) or any(where == name for where, _ in curves)
        ],
        "explained": explained(run, most_overlaid),
        "command": command,
        "summary": [(title, run.summary[key]) for key, title in SUMMARY.items() if key in run.summary],
        "remarks": remarks,
        "quoted": shlex.quote(str(run.path)),
    }


def warnings(run):
    """Sentences on what is not as it should be."""
    evaluation = run.evaluation or {}
    old = run.finished and not evaluation.get("complete", True)
    found = list(run.summary.get("warnings", []))
    if not old:
        found += evaluation.get("warnings", [])
    if not run.finished and not run.failure:
        done = f"{len(run.rows)} of {run.wanted} samples are finished"
        found.append(f"This run was not finished when the page was made: {done}. Make the page again later.")
    elif len(run.rows) < run.wanted and not run.failure:
        found.append(f"samples.jsonl is damaged: it holds {len(run.rows)} of {run.wanted} samples.")
    evaluated = {entry["index"] for entry in evaluation.get("per_sample", [])}
    usable = [r["index"] for r in run.rows if r["status"] != "nonfinite" and r["file"] not in run.missing]
    if old or (evaluation and not evaluated.issuperset(usable)):
        found.append("The evaluation is older than the run: it lacks samples. Evaluate the run again.")
    if run.missing:
        files = ", ".join(f"{file} ({why})" for file, why in sorted(run.missing.items()))
        found.append(f"Not the pictures that were measured: {files}.")
    return found


def pictures(runs, links):
    """The `Matrix` of the samples of each run, with its numbers where their methods differ."""
    found = matrix.by_sample(runs, links)
    return methods.side_by_side(found, runs) if found and methods.several(runs) else found


def overview(runs, names, keys):
    """What the template needs to compare several runs."""
    links = {i: f"#run-{i}" for i in range(MOST_SECTIONS)}
    asked = asking(keys)
    swept = comparisons.against(runs, asked[0]) if len(asked) == 1 else None
    if comparisons.CUTOFF in asked:
        shown = [comparisons.deviation(runs, names), swept, *comparisons.compared(runs, names, comparisons.DEVIATION)]
    else:
        shown = [swept, *comparisons.compared(runs, names)]
    if methods.several(runs):
        shown = [*methods.costs(runs, names), *shown]
    different = kinds(runs)
    return {
        "outcomes": outcomes(runs, keys, links),
        "measured": measured(runs, links),
        "left": keys[MOST_KEYS:],
        "matrices": [it for it in (matrix.by_settings(runs, links), pictures(runs, links)) if it],
        "plots": [plot for plot in shown if plot],
        "unevaluated": comparisons.CUTOFF in asked and shown[0] is None,
        "different": different if len(different) > 1 else [],
        "finished": sum(run.finished for run in runs),
        "samples": sum(len(run.rows) for run in runs),
    }
