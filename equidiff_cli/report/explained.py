"""What `equidiff explain` found, for the page: maps over pictures, the methods side by side, curves, all numbers."""

from equidiff_cli.report.pictures import embed
from equidiff_cli.report.plots import curves

SIZE = {"limit": 160, "most_bytes": 12_000}  # of a picture with a map over it
COLUMNS = {  # of the table of methods: title, and the begin of a number's name
    "gain over random": "faithfulness.gain",
    "gain, query": "faithfulness.gain_query",
    "beats random": "faithfulness.gain_beats",
    "infidelity": "faithfulness.infidelity",
    "spread of totals": "completeness.total_spread",
    "agreement": "agreement.agree_rank",
    "different maps": "variety.vendi",
    "map without learning": "control.unchanged",
}
RANDOM = {"name": "random", "title": "random maps"}


def explained(run, most):
    """What the template needs of an explanation, with maps over the query and over `most` samples; None without any."""
    found = run.explanation
    if not found or not run.pictured:
        return None
    titles = {method["name"]: method["title"] for method in found["methods"]}
    stems = {"query": "query"} | {f"{row['index']:03d}": f"sample {row['index']}" for row in found["per_sample"][:most]}
    cards = [{"name": name, "overlays": overlays(run, stem, titles)} for stem, name in stems.items()]
    sections = dict.fromkeys(metric["section"] for metric in found["metrics"])
    abouts = {f"{one['section']}.{one['name']}": one["about"] for one in found["metrics"]}
    first = next(iter(titles), "")
    return {
        "warnings": found["warnings"],
        "findings": found["findings"],
        "refused": found["refused"],
        "note": note(found),
        "methods": found["methods"],
        "cards": [card for card in cards if card["overlays"]],
        "columns": [(title, abouts.get(f"{key}_{first}", "")) for title, key in COLUMNS.items()],
        "rows": table_of_methods(found),
        "plots": [plot for _, plot in curves(found)],
        "sections": [(name, [one for one in found["metrics"] if one["section"] == name]) for name in sections],
    }


def overlays(run, stem, titles):
    """(method, title, picture) of every map over a picture that is there."""
    pictures = ((name, title, embed(run.overlay_file(stem, name), **SIZE)) for name, title in titles.items())
    return [one for one in pictures if one[2]]


def note(found):
    """What was explained, in a sentence."""
    left = f", {found['no_members']} samples that are no members are left out" if found["no_members"] else ""
    count = found["members"]
    members = f"{count} member{'s' * (count != 1)}"
    return f"Maps of {members}{left}; beside them the query and {found['unguided']} unguided samples of its class."


def table_of_methods(found):
    """(title, cells) of each method and of random maps; a cell has `value` and `null`, None where there is none."""
    metrics = {f"{one['section']}.{one['name']}": one for one in found["metrics"]}
    nothing = {"value": None, "null": None}
    return [
        (method["title"], [metrics.get(f"{key}_{method['name']}", nothing) for key in COLUMNS.values()])
        for method in [*found["methods"], RANDOM]
    ]
