"""Which attributes the set of a query holds, which it moves, and which it ignores: spread and place of members beside
those of unguided samples."""

import torch

from equidiff_cli.metrics import weighted
from equidiff_cli.metrics.compare import adjusted, information, intervals, moments, p_values, ratio_and_shift, scores

LEVEL = 0.05  # of the false discovery rate
AROUND = 2.0  # spreads of members that their mean may be from the query's value, to hold that value
AS_CHANCE = (0.5, 2.0), 0.75  # within which the intervals of the ratio and of the shift lie, for as chance
ENDS = 6  # pictures at either end of an attribute
HELD, MOVED, NARROWER, WIDER, IGNORED, UNCLEAR = "held", "moved", "narrower", "wider", "ignored", "unclear"


def holding(subject):
    """A row an attribute, as dicts, the ones that membership tells most about first."""
    case, options = subject.case, subject.case.options
    members, unguided = subject.table(subject.members), subject.table(subject.unguided)
    found = against(members, unguided, options.permutations, options.seed)
    query, law = subject.table(case.query)[0], law_of(subject, unguided)
    query = torch.full_like(query, torch.nan) if case.no_query else query  # then nothing is held around its value
    rows = []
    for i, one in enumerate(subject.varied):
        row = {"name": one.name, "title": one.title, "low": one.low, "high": one.high, "source": one.source}
        row |= {key: plain(column[..., i]) for key, column in found.items()}
        row |= {"query": query[i].item(), **({key: column[i].item() for key, column in law.items()} if law else {})}
        row["standing"] = standing(row)
        row["law"] = "unknown" if not law else "agrees" if agrees(row) else "disagrees"
        order, chance = members[:, i].argsort(), unguided[:, i].argsort()
        row["members"] = [[subject.files[k] for k in part] for part in (order[:ENDS], order[-ENDS:])]
        row["unguided"] = [part.tolist() for part in (chance[:ENDS], chance[-ENDS:])]
        rows.append(row)
    return sorted(rows, key=lambda row: -row["bits"])


def against(members, unguided, rounds, seed):
    """Numbers (K,) and bounds (2, K) by name, of members (N, K) beside unguided samples (M, K).

    `bits` are of normal scores among unguided samples: heavy tails, which log-odds have, would make a spread of a few
    samples.     `spread_q` and `shift_q` are p-values by Benjamini & Hochberg over both tests of all attributes.
    """
    rows, count = torch.cat([members, unguided]).double(), len(members)
    parts = [moments(part, torch.ones(1, len(part))) for part in (members.double(), unguided.double())]
    (mean, variance), (other, unit) = [[column[0] for column in part] for part in parts]
    ratio, shift = ratio_and_shift((mean, variance), (other, unit))
    place = scores(rows, unguided)
    place = ratio_and_shift(*((part.mean(0), part.var(0)) for part in (place[:count], place[count:])))
    spread_p, shift_p = p_values(rows, count, rounds, seed)
    spread_q, shift_q = adjusted(torch.cat([spread_p, shift_p])).chunk(2)
    of_ratio, of_shift = intervals(rows, count, seed)
    return {
        "bits": information(place[0].clamp_min(1e-6), place[1]),
        "ratio": ratio,
        "ratio_interval": of_ratio,
        "shift": shift,
        "shift_interval": of_shift,
        "spread_p": spread_p,
        "spread_q": spread_q,
        "shift_p": shift_p,
        "shift_q": shift_q,
        "mean": mean,
        "std": variance.sqrt(),
        "unguided_mean": other,
        "unguided_std": unit.sqrt(),
    }


def standing(row):
    """What members do with an attribute, in one word."""
    spread, shifted = row["spread_q"] < LEVEL, row["shift_q"] < LEVEL
    if spread and row["ratio"] < 1 and abs(row["query"] - row["mean"]) <= AROUND * row["std"]:
        return HELD
    if shifted:
        return MOVED
    if spread:
        return NARROWER if row["ratio"] < 1 else WIDER
    (low, high), far = AS_CHANCE
    inside = low <= row["ratio_interval"][0] and row["ratio_interval"][1] <= high
    return IGNORED if inside and max(map(abs, row["shift_interval"])) <= far else UNCLEAR


def law_of(subject, unguided):
    """`law_ratio` and `law_shift` (K,) of what stands for the law of the set, beside unguided samples (M, K); None
    where nothing does."""
    law = subject.case.law
    if law.set is None:
        return None
    rows, weights = subject.table(law.set), law.weights.double()
    mean = weighted.mean(rows, weights)
    count = weighted.effective(weights)
    variance = weighted.mean((rows - mean).square(), weights) * count / (count - 1)
    reference = unguided.mean(0), unguided.var(0)
    return dict(zip(("law_ratio", "law_shift"), ratio_and_shift((mean, variance), reference), strict=True))


def agrees(row):
    """Whether the law of the set, too, does with an attribute what members do: else the way of drawing did it."""
    if row["standing"] in (HELD, NARROWER):
        return row["law_ratio"] < (1 + row["ratio"]) / 2
    if row["standing"] == MOVED:
        return row["law_shift"] / row["shift"] > 0.5
    return True


def plain(column):
    """A number, or a list of two."""
    return column.tolist()
