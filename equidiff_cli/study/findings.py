"""What a section of an evaluation found, in the form of `evaluation.json`."""

import math
from dataclasses import dataclass, field


@dataclass
class Section:
    """Numbers of the whole run, curves, and numbers a sample.

    Args:
        name: of the section.
        samples: how many samples the numbers are from.
    """

    name: str
    samples: int
    metrics: list = field(default_factory=list)
    curves: list = field(default_factory=list)
    columns: dict = field(default_factory=dict)
    values: dict = field(default_factory=dict)

    def metric(
        self,
        name,
        title,
        value,
        *,
        unit,
        about,
        source,
        null=None,
        null_reason=None,
        needs=1,
        samples=None,
        reason=None,
        better=None,
        interval=None,
    ):
        """Add one number of the whole run.

        Args:
            value: function without arguments that computes it; not called if there are too few samples.
            null: the same for unguided samples, or None with `null_reason`, why that makes no sense.
            needs: below how many samples it is not reported.
            reason: why it cannot be computed at all, or None.
            better: "lower", "higher", "near 1" or None.
            interval: function that gives (low, high, what this interval is), or None for too few samples.
        """
        samples = self.samples if samples is None else samples
        if reason is None and samples < needs:
            reason = f"needs {needs} samples, there {'is' if samples == 1 else 'are'} {samples}"
        found = None if reason else _finite(value())
        if found is None and reason is None:
            reason = "is not defined for these samples"
        metric = {"section": self.name, "name": name, "title": title, "value": found, "reason": reason, "unit": unit}
        bounds = interval() if interval and found is not None else None
        if bounds:
            metric |= dict(zip(("low", "high", "interval"), bounds, strict=True))
        expected = _finite(null()) if null and reason is None else None
        if expected is None and null_reason is None:
            null_reason = reason if reason else "is not defined for unguided samples"
        self.metrics.append(
            metric
            | {
                "null": expected,
                "null_reason": None if expected is not None else null_reason,
                "samples": samples,
                "needs": needs,
                "better": better,
                "source": source,
                "about": about,
            }
        )

    def column(self, name, title, values, *, unit, about):
        """Add one number (or word) a sample; `values` has one entry a sample, None where there is none."""
        self.columns[name] = {"title": title, "unit": unit, "about": about}
        self.values[name] = list(values)

    def curve(self, name, title, *, about, x, y, lines):
        """Add a curve; `x` has title, unit, values and scale, `y` title, unit and scale, a line name and values."""
        self.curves.append(
            {"section": self.name, "name": name, "title": title, "about": about, "x": x, "y": y, "lines": lines}
        )


def _finite(value):
    """A number that is not finite is none: a ratio to nothing, say."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
