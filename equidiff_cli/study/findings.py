"""What a section found, in the form of `evaluation.json`: the runner of metrics, and the words that belong to them."""

from __future__ import annotations

import logging
import math
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml

if TYPE_CHECKING:
    from equidiff_cli.study.case import Case

log = logging.getLogger(__name__)
FAILURES = (MemoryError, RuntimeError, ValueError)  # of one number; torch's for too little memory among them


def words_beside(file):
    """The table of words of the section in a file of code, from the YAML file of the same name beside it.

    It has `metrics`, `absent` (what stands in place of metrics of things that are not there), `columns`, `curves` and
    what else the section asks for, each by name. Braces are filled with facts of the section and of the metric.
    """
    return yaml.safe_load(Path(file).with_suffix(".yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Words:
    """What people read about a metric.

    Args:
        name: what it is called in files.
        source: the formula or the paper.
        about: how to read it.
        better: "lower", "higher", "near 1", or None (in a table of words also "") where neither is.
        undefined, null_reason: why there is no number, for the samples and for unguided ones, if there is none.
    """

    name: str
    title: str
    unit: str
    source: str
    about: str
    better: str | None = None
    undefined: str = "is not defined for these samples"
    null_reason: str | None = None


@dataclass
class Section:
    """Numbers of the whole run, curves, and numbers a sample.

    Args:
        name: of the section.
        case: where the sets are.
        words: as of `words_beside`.
        facts: what the words of the whole section are filled with.
    """

    name: str
    case: Case
    words: dict
    facts: dict = field(default_factory=dict)
    metrics: list = field(default_factory=list)
    curves: list = field(default_factory=list)
    columns: dict = field(default_factory=dict)
    values: dict = field(default_factory=dict)

    def add(self, metric, reason=None, say=None, **parameters):
        """Compute a `Metric` on its set and on unguided samples, and put it into words.

        Args:
            reason: why it cannot be computed at all, or None; then it is said of all samples.
            say: facts for its words.
            parameters: of the metric, and facts for its words.
        """
        words = Words(**self.filled("metrics", metric.name, **parameters, **(say or {})))
        reason = reason or (getattr(self.case, "no_query", None) if metric.of_query else None)
        set = self.case.samples if reason else metric.on(self.case)
        if reason is None and len(set) < metric.needs:
            reason = f"needs {metric.needs} samples, there {'is' if len(set) == 1 else 'are'} {len(set)}"
        value = bounds = chance = None
        beside = self.beside(metric, len(set), parameters) if reason is None else {}
        if reason is None:
            try:
                value = plain(metric(set, **parameters))
                chance = plain(metric.chance(self.case.unguided, len(set), **parameters))
                bounds = None if value is None else metric.interval(set, **parameters)
            except FAILURES as error:  # the other numbers are not to suffer from it
                value, bounds, chance, reason = None, None, None, failure(metric.name, error)
        if value is None and reason is None:  # which says nothing of unguided samples
            reason = words.undefined
        self.put(words, value, reason, bounds, chance, len(set), metric.needs, beside)

    def beside(self, metric, count, parameters):
        """The number of a `Metric` for `count` of the other ways to keep a value, {} without any; None where it has
        none."""
        found = {}
        for name, other in (getattr(self.case, "beside", {}) if metric.null and metric.of_pictures else {}).items():
            part = other[:count]
            try:
                found[name] = plain(metric(part, **parameters)) if len(part) >= metric.needs else None
            except FAILURES as error:
                failure(f"{metric.name} ({name})", error)
                found[name] = None
        return found

    def absent(self, name, reason, /, **facts):
        """Say why metrics of something that is not there are missing."""
        words = Words(**self.filled("absent", name, **facts))
        self.put(words, None, reason, None, None, len(self.case.samples), 1)

    def put(self, words, value, reason, bounds, chance, samples, needs, beside=()):
        """Add a metric in its final form."""
        interval = dict(zip(("low", "high", "interval"), bounds, strict=True)) if bounds else {}
        null_reason = words.null_reason or reason or "is not defined for unguided samples"
        self.metrics.append(
            {"section": self.name, "name": words.name, "title": words.title}
            | {"value": value, "reason": reason, "unit": words.unit}
            | interval
            | {"null": chance, "null_reason": null_reason if chance is None else None}
            | dict(beside)
            | {"samples": samples, "needs": needs}
            | {"better": words.better or None, "source": words.source, "about": words.about}
        )

    def column(self, name, values, /, **facts):
        """Add one number (or word) a sample; None where there is none, as for samples beyond the last value.

        Args:
            values: these, or a function that computes them; the column is left out if it fails.
        """
        words = self.filled("columns", name, **facts)
        try:
            values = list(values() if callable(values) else values)
        except FAILURES as error:
            failure(words["name"], error)
            return
        self.values[words["name"]] = values + [None] * (len(self.case.samples) - len(values))
        self.columns[words["name"]] = {key: words[key] for key in ("title", "unit", "about")}

    def curve(self, name, x, lines, /, **facts):
        """Add a curve; `x` are numbers, a line is as of `line`."""
        words = self.filled("curves", name, **facts)
        across, up = words["x"], words["y"]
        x = {"title": across["title"], "unit": across["unit"], "values": list(x), "scale": across["scale"]}
        y = {key: up[key] for key in ("title", "unit", "scale")}
        about = {key: words[key] for key in ("name", "title", "about")}
        self.curves.append({"section": self.name, **about, "x": x, "y": y, "lines": lines})

    def filled(self, table, name, /, **facts):
        """The words of one entry of a table by kind, with its facts; the entry's key is its name if it has no other."""
        entry = {"name": name} | self.words[table][name]
        facts = self.facts | facts
        return {key: text.format(**facts) if isinstance(text, str) else text for key, text in entry.items()}


def line(name, middle, low, high, count):
    """A line of a curve: `middle` (B,), and for four or more pictures the band from `low` to `high`, (B,) each."""
    band = {"low": low.tolist(), "high": high.tolist()} if count >= 4 else {}
    return {"name": name, "values": middle.tolist(), **band}


def failure(name, error):
    """Why a number could not be computed, in one line, which is also said."""
    text = textwrap.shorten(" ".join(str(error).split()), 300)
    text = text if isinstance(error, ValueError) else f"failed: {type(error).__name__}: {text}".rstrip(": ")
    log.warning("equidiff: %s: not reported: %s", name, text)
    return text


def plain(value):
    """A tensor's number; one that is not finite is none: a ratio to nothing, say."""
    value = value.item() if isinstance(value, torch.Tensor) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
