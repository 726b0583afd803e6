"""What to do next, as a command, derived from what was found of a run."""

import math
import re
import shlex

from equidiff_cli.request.method import in_units_of
from equidiff_cli.request.part import parameters, part

KEEPING = ("GaussNewton", "Polyak")  # optimisers that keep the norm of the noise by themselves
ENOUGH = 64  # samples, from which on an interval of any share is narrow enough
UNUSED = "method|optimizer|budget|gradient_steps|checkpoint|diverse"  # what rejection takes no part of
POOL = 4096  # unguided samples, among which the law of a common value is found


def asked(run):
    """What the run (of `study/members.py`) was asked, as far as `advice` has use for it."""
    config = run.config
    pool, tolerance = (config.method.get(name) for name in ("pool", "tolerance"))
    return {
        "path": str(run.path),
        "overrides": list(run.overrides),
        "complete": run.complete,
        "steps": config.budget.steps if "steps" in (parameters(config, "method") or ("steps",)) else None,
        "threshold": in_units_of(part(config, "distance"), config)[1],
        "cutoff": lowest(config.filter.get("cutoff")),
        "robust": "robust" in config and config.robust._target_.endswith(".Views"),
        "optimizer": config.optimizer._target_.rpartition(".")[2] if takes_optimizer(config) else None,
        "seed": config.seed,
        "failed": run.nonfinite,
        "near": (run.summary.get("start") or {}).get("near"),
        "rejection": None if pool is None else {"pool": pool, "tolerance": tolerance},
    }


def lowest(cutoff):
    """The cutoff, or the lowest of several."""
    return cutoff if cutoff is None or isinstance(cutoff, (int, float)) else min(cutoff)


def takes_optimizer(config):
    """Whether the method of a run has use for an optimiser."""
    return "optimizer" in parameters(config, "method")


def advice(verdicts, numbers, asked):
    """The sentence: of all that could be done, what the rest depends on most.

    Args:
        verdicts: by question, as of `conclusions`.
        numbers: `Numbers` of the evaluation.
        asked: of the run.
    """
    run = str(asked["path"])
    if not asked["complete"]:
        return f"Finish the run: {again(asked, {'hydra.run.dir': run})}."
    for one in (noise, objective, few, baseline, exceptions, fragile, others, gap, variety, looks, law):
        if said := one(verdicts, numbers, asked):
            return said + "."
    return (
        f"Nothing found stands against using these samples: look at them, {command('report', run)},"
        f" and repeat the run with another seed: {again(asked, {'seed': asked['seed'] + 1})}."
    )


def noise(verdicts, _numbers, asked):
    """Samples that do not look like the prior's; the noise of a query from which they began need not."""
    if verdicts["typical"] != "no" or asked["near"]:
        return ""
    if asked["optimizer"] is None:
        return "Keep nearer to the noise that the prior knows: smaller or fewer steps of the method"
    if asked["optimizer"] not in KEEPING:
        keeping = again(asked, {"optimizer": "gauss_newton"})
        return f"Draw them with an optimiser that keeps the noise's length: {keeping}"
    return f"Keep the noise's spectrum, too: {again(asked, {'optimizer.noise': 'white'})}"


def objective(verdicts, numbers, asked):
    """An objective that is not held."""
    if verdicts["held"] not in ("no", "most", "chance"):
        return ""
    statuses = [row["status"] for row in numbers.rows]
    if asked["failed"] > len(statuses):
        return f"Most samples were not finite: {again(asked, {'precision': 'fp32'})}"
    if asked["rejection"]:
        return by_rejection(statuses, asked["rejection"], asked)
    if "budget" in statuses and asked["steps"] is None:
        short = f"{statuses.count('budget')} of {len(statuses)} ended above the threshold"
        kept = [word for word in asked["overrides"] if not re.match(r"\+*method\b", word)]
        return f"{short}, draw on until it is met: {again(asked | {'overrides': kept}, {'method': 'latent'})}"
    if "budget" in statuses:
        short = f"{statuses.count('budget')} of {len(statuses)} used up their steps"
        return f"{short}, allow more: {again(asked, {'budget.steps': 2 * asked['steps']})}"
    within = numbers.first("invariance.success_")
    tolerance, before = float(within["name"].removeprefix("success_")), numbers["invariance.error_before"]
    if before and before["value"] > tolerance:
        lower = {"budget.threshold": number(asked["threshold"] / 10)}
        return f"The threshold is above the tolerance of {tolerance:g} null spreads, lower it: {again(asked, lower)}"
    median = numbers["invariance.error_median"]
    looser = number(math.ceil(200 * median["value"]) / 100 if median else 2 * tolerance)
    claim = command("evaluate", asked["path"], f"tolerances=[{looser}]")
    return f"Rounding to 8 bits decides at {tolerance:g} null spreads, claim less: {claim}"


def by_rejection(statuses, options, asked):
    """The same where samples were drawn until they fit."""
    if "budget" in statuses:
        short = f"{statuses.count('budget')} of {len(statuses)} found none in their draws"
        return f"{short}, allow more: {again(asked, {'method.pool': 2 * options['pool']})}"
    tolerance = options["tolerance"]
    claim = command("evaluate", asked["path"], f"tolerances=[{number(tolerance)}]")
    return f"They were accepted within {tolerance:g} null spreads, claim no more: {claim}"


def few(verdicts, numbers, asked):
    """Too few samples."""
    if "few" not in verdicts.values() or len(numbers.rows) >= ENOUGH:
        return ""
    if asked["near"] == [0, 0]:
        others = again(asked, {"near": "[0,0.3]", "samples": ENOUGH})
        return f"More samples from the query's own noise would be the same, draw others near it: {others}"
    return f"Draw more samples, the first ones stay the same: {again(asked, {'samples': ENOUGH})}"


def baseline(verdicts, numbers, asked):
    """Too few unguided samples."""
    if verdicts["differs"] != "alone":
        return ""
    more = command("evaluate", asked["path"], f"null_samples={max(256, 4 * len(numbers.rows))}")
    return f"Compare with more unguided samples: {more}"


def exceptions(verdicts, _numbers, asked):
    """Members that other networks would not find in the set."""
    if verdicts["typical"] != "exceptions":
        return ""
    kept = [word for word in asked["overrides"] if not re.match(rf"\+*({UNUSED})\b", word)]
    drawn = again(asked | {"overrides": kept}, {"method": "rejection"})
    return f"They are members, but exceptions among those that the prior makes: draw typical ones, {drawn}"


def fragile(verdicts, _numbers, asked):
    """An agreement that an everyday change destroys."""
    if (verdicts["held"], verdicts["jpeg"]) != ("yes", "lost"):
        return ""
    if not asked["robust"]:
        around = again(asked, {"robust": "views"})
        return f"The agreement does not survive JPEG, ask that it hold around the picture, too: {around}"
    return f"The agreement does not survive JPEG, ask for coarser evidence: {coarser(asked)}"


def others(verdicts, numbers, asked):
    """No other network that says anything."""
    if verdicts["agreement"] != "unknown" or numbers.reason("agreement.gap") == "there was no query":
        return ""
    return f"Ask other networks with the same classes: {command('evaluate', asked['path'], 'heldout=[NAME]')}"


def gap(verdicts, _numbers, asked):
    """Other networks that do not agree."""
    if verdicts["agreement"] not in ("no", "partly"):
        return ""
    look = f"Look at the samples on which networks disagree most ({command('report', asked['path'])}, sorted by that)"
    return f"{look}, and whether coarser evidence changes it: {coarser(asked)}"


def variety(verdicts, numbers, asked):
    """Samples that differ little."""
    if verdicts["differs"] != "little":
        return ""
    less = "Ask for less to be held, such as one value or a layer nearer to the output, or show more samples"
    return f"{less}: {again(asked, {'samples': 2 * len(numbers.rows)})}"


def looks(verdicts, _numbers, asked):
    """Pictures that are unusual, from noise that is not."""
    if verdicts["typical"] != "partly":
        return ""
    look = f"Look at the samples that are least like unguided ones, {command('report', asked['path'])}"
    return f"{look}, and whether coarser evidence changes it: {coarser(asked)}"


def law(_verdicts, numbers, asked):
    """A law of which too little is known."""
    one = numbers.metrics.get("typical.effective")
    pool = one and one["reason"] and re.search(r"of (\d+) unguided", one["reason"])
    if not pool:
        return ""
    more = command("evaluate", asked["path"], f"typical={max(POOL, 4 * int(pool[1]))}")
    return f"Nothing found stands against using these samples; hold them against the set's own law, too: {more}"


def coarser(asked):
    """The run with a lower cutoff."""
    if asked["cutoff"] is None:
        return again(asked, {"filter": "gaussian", "filter.cutoff": "0.25"})
    return again(asked, {"filter.cutoff": number(asked["cutoff"] / 2)})


def again(asked, changes):
    """The command of the run with other values of some keys; those of a group that is chosen anew are dropped."""
    kept = [word for word in asked["overrides"] if not replaced(word.partition("=")[0].lstrip("+~"), changes)]
    return command("run", *kept, *(f"{key}={value}" for key, value in changes.items()))


def replaced(key, changes):
    return key == "hydra.run.dir" or any(key == one or key.startswith(f"{one}.") for one in changes)


def command(verb, *words):
    """A command as one types it."""
    return shlex.join(["equidiff", verb, *map(str, words)])


def number(value):
    return f"{value:.3g}"
