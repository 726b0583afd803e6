"""Runs in words: numbers, the question a run asks, what came of it, how to repeat one."""

import math
import re
import shlex
from pathlib import PurePath
from statistics import median

from equidiff_cli.runs.reader import error

NBSP = "\N{NO-BREAK SPACE}"
FILTERS = {"Gaussian": "Gaussian", "Butterworth": "Butterworth", "Ideal": "ideal", "Identity": None}
DISTANCES = {
    "SquaredL2": "squared distance",
    "Huber": "Huber distance",
    "Cosine": "cosine distance",
    "KL": "Kullback-Leibler divergence",
}
OTHERS = {  # questions of which no record says more yet, as while a run is unfinished
    "Reach": "reaching another value of the {held} in {target}",
    "Raise": "raising the {held} in {target} as far as the budget goes",
    "Lower": "lowering the {held} in {target} as far as the budget goes",
    "Counterfactual": "turning the decision of {target}",
}
WHERE = re.compile(r", ((?:mean|max) over space|at \[.*\]|whole|alone)$")  # in the description of an objective
PATH = re.compile(r"(?<![\w.~/:])~?(?:/[^\s/(){}\[\]<>'\",;:]+)+/([^\s/(){}\[\]<>'\",;:]+)")  # an absolute one
SILENT = ("samples", "batch", "device", "precision", "tf32", "compile")  # settings that ask no other question


def number(value):
    """A value of any kind as a person reads it: three digits, `–` for what does not exist."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ", ".join(map(number, value)) if isinstance(value, list) else str(value)
    if isinstance(value, int) or value == 0:
        return f"{value:,}".replace(",", "\N{THIN SPACE}") if abs(value) >= 10_000 else str(int(value))
    if not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}{NBSP}×{NBSP}10{superscript(int(exponent))}".replace("-", "\N{MINUS SIGN}")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def setting(value):
    """A setting as a configuration file writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def superscript(exponent):
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def part(run, group):
    """The name of the class or function behind a group, such as `SquaredL2`."""
    return str(run.settings.get(f"{group}._target_", "unknown")).rpartition(".")[2]


def held(run):
    """The objective in words."""
    if "objective" in run.summary:
        words = str(run.summary["objective"])
        return words.rpartition(".")[2] if re.fullmatch(r"\w+(\.\w+)+", words) else words  # where code is
    options = {key: value for key, value in run.settings.items() if key.startswith("objective.")}
    words = [
        f"{key.partition('.')[2]} {value}"
        for key, value in options.items()
        if "_target_" not in key and value is not None
    ]
    return f"{part(run, 'objective').lower()} ({', '.join(words)})" if words else part(run, "objective").lower()


def target(run):
    """The name of the network under study."""
    return pathless(run.summary.get("target") or run.settings.get("target.name") or part(run, "target"))


def query(run):
    """The query in words: of a file, its name."""
    words = given(run)
    return PurePath(words).name if PurePath(words).is_absolute() or words.startswith("~") else words


def given(run):
    """The query as it was given."""
    return str(run.summary.get("query") or run.settings.get("query") or run.config.get("query") or "unknown")


def asks(run):
    """What makes two runs ask the same question: the settings of target and objective, and the query."""
    keys = [key for key in run.settings if key.startswith(("target.", "objective.", "query"))]
    return tuple(f"{key}={run.settings[key]}" for key in sorted(keys))


def question(run):
    """What the run asks, as a title."""
    what = "Pictures" if run.pictured else "Points"
    if said := other(run):
        return f"{what} {WHERE.sub(_where, said)}"
    return f"{what} with the same {WHERE.sub(_where, held(run))} in {target(run)} as the query"


def other(run):
    """What the run asks in a few words, where that is not the query's value; "" where it is."""
    recorded, kind = run.summary.get("question") or {}, part(run, "question")
    if (kind in ("Invariance", "unknown") and not recorded.get("terms")) or "asks" not in recorded:
        return OTHERS.get(kind, "").format(held=held(run), target=target(run))
    return recorded["asks"]


def endless(run):
    """Whether a value was raised or lowered as far as the budget goes, so that no loss is low enough."""
    return bool((run.summary.get("question") or {}).get("endless"))


def aimed(run):
    """Whether there is a value that samples were to have."""
    return not endless(run) or bool(run.summary["question"].get("terms"))


def _where(found):
    return "" if found[1] == "alone" else f" ({found[1]})"


def pathless(text):
    """A text in which files are called by their names, without the folders of an absolute path."""
    return PATH.sub(r"\1", str(text))


def facts(run):
    """(term, description) pairs: what was held and how, in the order in which one reads them."""
    settings, rows = run.settings, []
    values = next((record["target"] for record in run.rows if record.get("target") is not None), None)
    rows.append(("Target", f"the network {target(run)}"))
    rows.append(("Query", query(run)))
    rows.append(("Held" if not other(run) else "Asked of", f"{held(run)}{_value(values, other(run))}"))
    kind = FILTERS.get(part(run, "filter"), part(run, "filter"))
    cutoff = f", cutoff {setting(settings['filter.cutoff'])} of Nyquist" if "filter.cutoff" in settings else ""
    low = f" and of its low-passed copy ({kind} filter{cutoff})" if kind else ""
    distance = DISTANCES.get(part(run, "distance"), part(run, "distance"))
    if endless(run):
        rows.append(("Loss", f"minus how far the value went, in null spreads, of the picture{low}"))
    else:
        to = "what is asked" if other(run) else "the query’s value"
        rows.append(("Loss", f"{distance} of the picture{low} to {to}"))
    if part(run, "method") == "Rejection":
        within, pool = (setting(settings[f"method.{key}"]) for key in ("tolerance", "pool"))
        rows.append(("Accepted", f"the first of up to {pool} unguided draws within {within} null spreads"))
    elif "budget.threshold" in settings:
        threshold, steps = setting(settings["budget.threshold"]), settings["budget.steps"]
        rows.append(("Stop", f"after {steps} steps" if endless(run) else f"loss below {threshold}, or {steps} steps"))
    if part(run, "method") == "Walk":
        forget, keep, every = (settings[f"method.{key}"] for key in ("forget", "keep", "every"))
        rows.append(
            ("Then", f"a chain of {forget + keep * every} moves; {keep} states are kept, the last one is shown")
        )
    prior = str(run.summary.get("prior") or settings.get("prior.name") or part(run, "prior"))
    solver = (
        f", {settings['prior.steps']} {settings.get('prior.solver', '')} steps" if "prior.steps" in settings else ""
    )
    rows.append(("Prior", prior + solver))
    if words := classes(run):
        rows.append(("Class", words))
    return rows


def classes(run):
    """As which class the samples were drawn, and what that means for the set; "" where the prior knows no classes, or
    was trained to draw without one."""
    label = run.summary.get("label") or {}
    if label.get("asked") == "random":
        return "each sample as one of its own, drawn at random: pictures of every class of the prior"
    if found := label.get("class"):
        of = "the query’s top class, " if label["asked"] == "query" else ""
        return (
            f"every sample as {of}{found['name']}: the set is narrowed to what the prior draws as that class, members"
            " of other classes are not looked for"
        )
    untrained = {"no": "was not trained for that", "not known": "may not have been trained for that"}
    why = untrained.get(label.get("null_trained"))
    return f"none, and the prior {why}: its pictures may be no pictures" if why else ""


def _value(values, other):
    if values is None:
        return ""
    whose = "asked for" if other else "for the query"
    return f", {number(values)} {whose}" if not isinstance(values, list) else f", {len(values)} values"


def outcome(run):
    """What came of it, in a sentence or two."""
    if run.failure:
        return f"This run left no samples. The last line of its log: {run.failure}"
    done = len(run.rows)
    if not done:
        return f"No sample of {run.wanted} is finished yet."
    if endless(run):
        return f"{done} of {run.wanted} samples used up their budget, as they should.{_reached(run)}"
    words = [f"{run.counts['converged']} of {done} samples converged"]
    if run.counts["budget"]:
        words.append(f"{run.counts['budget']} used up their budget")
    if run.counts["nonfinite"]:
        words.append(f"{run.counts['nonfinite']} met a number that is not finite")
    if known := [record["on_file"] for record in run.rows if record.get("on_file") is not None]:
        words.append(f"{sum(known)} of {len(known)} are below the threshold on file, too, as saved in 8 bits")
    text = ", ".join(words) + "."
    if not run.finished:
        text = f"The run is not finished: {done} of {run.wanted} samples are. {text}"
    middle, unit = median_error(run)
    return text + (f" Median error on the saved pictures: {number(middle)} {unit}." if middle is not None else "")


def _reached(run):
    """The values that samples came to, in a sentence, where there is one a sample; "" elsewhere."""
    values = [record.get("objective_saved") for record in run.rows]
    values = [value for value in values if isinstance(value, (int, float))]
    if not values:
        return ""
    least, middle, most = (number(function(values)) for function in (min, median, max))
    (begin,) = ((run.summary.get("views") or {}).get("query") or {}).get("value") or [None]
    of_query = f"; the query has {number(begin)}" if begin is not None else ""
    return f" Their saved pictures have values from {least} to {most}, with the median {middle}{of_query}."


def median_error(run):
    """(median error on the saved pictures, its unit); (None, "") without samples."""
    measured = [pair for pair in (error(run, record) for record in run.rows) if pair[0] is not None]
    return (median(value for value, _ in measured), measured[0][1]) if measured else (None, "")


def command(run):
    """The command that repeats the run, quoted for a shell, and remarks on it."""
    remarks, words = [], ["equidiff", "run"]
    runtime = run.hydra.get("runtime") or {}
    for source in runtime.get("config_sources") or []:
        if source.get("provider") == "command-line":
            words += ["--config-dir", source["path"]]
    words += [str(word) for word in run.overrides]
    choices = runtime.get("choices") or {}
    if choices.get("prior") == "auto" and choices.get("prior/choice@prior"):
        words = [word for word in words if word != "prior=auto"] + [f"prior={choices['prior/choice@prior']}"]
        remarks.append("prior=auto chose this prior on the device of this run.")
    if run.pictured and not given(run).isidentifier():
        remarks.append("Paths are relative to the directory in which the run was started.")
    return shlex.join(words), remarks
