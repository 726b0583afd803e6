"""Plots as small inline SVG that the page's style sheet colours: axes, lines with bands, rules, legends, tables."""

import math
from dataclasses import dataclass, field

from markupsafe import Markup

from equidiff_cli.report.words import superscript

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 30, 44
MOST_POINTS = 200  # of one line


@dataclass
class Axis:
    """What an axis shows; `scale` is "linear" or "log", `whole` that there is nothing between whole numbers."""

    title: str
    unit: str = ""
    scale: str = "linear"
    whole: bool = False

    @property
    def words(self):
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass
class Line:
    """Values over places, None for a gap; `style` is a class of the style sheet, `low` and `high` bound a band."""

    name: str
    x: list
    y: list
    style: str
    low: list | None = None
    high: list | None = None
    dots: bool = False


@dataclass
class Plot:
    """One plot with its equivalents in text.

    Attributes:
        about: one sentence on what is shown; `finding`: one on what can be seen.
        rules: (value, name) of horizontal lines; `band`: (low, high, name) of a shaded range of y, or None.
        legend: (style, name) pairs of the lines.
        columns, rows: the same as a table.
    """

    title: str
    about: str
    x: Axis
    y: Axis
    lines: list
    finding: str = ""
    rules: list = field(default_factory=list)
    band: tuple | None = None
    legend: list = field(default_factory=list)
    columns: list = field(default_factory=list)
    rows: list = field(default_factory=list)

    @property
    def entries(self):
        """The whole legend: lines, rules, band."""
        band = [("band", self.band[2])] if self.band else []
        return [*self.legend, *(("rule", words) for _, words in self.rules), *band]


class Scale:
    """Maps values to pixels.

    Args:
        values: what has to fit; those that cannot be shown are left out.
        start, end: pixels of the lowest and of the highest value.
        kind: "linear" or "log".
        padded: whether a linear scale goes a little beyond the values.
    """

    def __init__(self, values, start, end, kind, padded=False):
        self.log, self.start, self.end = kind == "log", start, end
        shown = [self.place(value) for value in values if self.shows(value)] or [0.0, 1.0]
        self.low, self.high = min(shown), max(shown)
        if self.log and self.high - self.low < 0.5:
            self.low, self.high = self.low - 0.25, self.high + 0.25
        if not self.log and padded:
            margin = 0.08 * (self.high - self.low)
            self.low, self.high = self.low - margin, self.high + margin
        if self.high == self.low:
            self.low, self.high = self.low - (abs(self.low) * 0.05 or 1), self.high + (abs(self.high) * 0.05 or 1)

    def shows(self, value):
        return value is not None and math.isfinite(value) and (value > 0 or not self.log)

    def place(self, value):
        return math.log10(value) if self.log else value

    def __call__(self, value):
        share = (self.place(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most, whole=False):
        """(value, label) pairs, at most about `most`; `whole`: of a linear scale, at whole numbers alone."""
        if not self.log:
            step = max(nice((self.high - self.low) / most), whole)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            digits = max(0, -math.floor(math.log10(step) + 1e-9))
            return [(i * step, f"{i * step:.{digits}f}".replace("-", "\N{MINUS SIGN}")) for i in range(first, last + 1)]
        decades = range(math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9) + 1)
        if len(decades) < 3:  # less than two decades: 1, 2, 5 in each
            exponents = range(math.floor(self.low), math.ceil(self.high) + 1)
            values = [m * 10.0**e for e in exponents for m in (1, 2, 5)]
            return [(v, f"{v:g}") for v in values if self.low - 1e-9 <= math.log10(v) <= self.high + 1e-9]
        every = math.ceil(len(decades) / most)
        return [(10.0**e, power(e)) for e in decades if e % every == 0]


def nice(step):
    """The next of 1, 2, 5 times a power of ten."""
    decade = 10.0 ** math.floor(math.log10(step))
    return next(m * decade for m in (1, 2, 5, 10) if m * decade >= step * (1 - 1e-9))


def power(exponent):
    """10^exponent, in digits as long as that is short."""
    return f"{10.0**exponent:g}" if -4 <= exponent <= 4 else f"10{superscript(exponent)}"


def draw(plot, name):
    """The plot as an `<svg>`; `name` makes the ids on the page unique."""
    xs = [x for line in plot.lines for x in line.x]
    ys = [y for line in plot.lines for part in (line.y, line.low, line.high) for y in part or ()]
    ys += [value for value, _ in plot.rules] + list(plot.band[:2] if plot.band else ())
    x = Scale(xs, LEFT, WIDTH - RIGHT, plot.x.scale)
    y = Scale(ys, HEIGHT - BOTTOM, TOP, plot.y.scale, padded=True)
    parts = [
        Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-t {}-d">').format(
            WIDTH, HEIGHT, name, name
        ),
        Markup('<title id="{}-t">{}</title><desc id="{}-d">{}</desc>').format(
            name, plot.title, name, f"{plot.about} {plot.finding}".strip()
        ),
        *_band(plot, y),
        *_axes(plot, x, y),
        *(piece for line in plot.lines for piece in _line(line, x, y)),
        *_rules(plot, y),
        Markup("</svg>"),
    ]
    return Markup("\n").join(parts)


def _axes(plot, x, y):
    for value, words in y.ticks(6):
        yield Markup('<path class="grid" d="M{} {}H{}"/><text class="tick end" x="{}" y="{}">{}</text>').format(
            LEFT, y(value), WIDTH - RIGHT, LEFT - 7, y(value) + 4, words
        )
    for value, words in x.ticks(7, plot.x.whole):
        yield Markup('<path class="axis" d="M{} {}v4"/><text class="tick mid" x="{}" y="{}">{}</text>').format(
            x(value), HEIGHT - BOTTOM, x(value), HEIGHT - BOTTOM + 17, words
        )
    yield Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT)
    yield Markup('<text class="name" x="4" y="14">{}</text>').format(plot.y.words)
    yield Markup('<text class="name end" x="{}" y="{}">{}</text>').format(WIDTH - RIGHT, HEIGHT - 8, plot.x.words)


def _band(plot, y):
    if plot.band:
        low, high, words = plot.band
        yield Markup('<rect class="band" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
            LEFT, y(high), WIDTH - RIGHT - LEFT, round(y(low) - y(high), 1), words
        )


def _rules(plot, y):
    for value, words in plot.rules:
        if y.shows(value):
            yield Markup('<path class="rule" d="M{} {}H{}"><title>{}</title></path>').format(
                LEFT, y(value), WIDTH - RIGHT, words
            )


def _line(line, x, y):
    keep = thinned(len(line.x))
    points = [(line.x[i], line.y[i]) for i in keep]
    if line.low and line.high:
        edge = [(line.x[i], line.low[i], line.high[i]) for i in keep]
        edge = [(a, b, c) for a, b, c in edge if x.shows(a) and y.shows(b) and y.shows(c)]
        if len(edge) > 1:
            outline = [f"{x(a)} {y(c)}" for a, _, c in edge] + [f"{x(a)} {y(b)}" for a, b, _ in reversed(edge)]
            yield Markup('<path class="spread {}" d="M{}Z"/>').format(line.style, "L".join(outline))
    segments, segment = [], []
    for a, b in points:
        if x.shows(a) and y.shows(b):
            segment.append(f"{x(a)} {y(b)}")
        elif segment:
            segments.append(segment)
            segment = []
    segments = [*segments, segment] if segment else segments
    path = "".join("M" + "L".join(s) for s in segments if len(s) > 1)
    if path:
        yield Markup('<path class="line {}" d="{}"><title>{}</title></path>').format(line.style, path, line.name)
    for spot in (spot for s in segments if line.dots or len(s) == 1 for spot in s):
        a, b = spot.split()
        yield Markup('<circle class="dot {}" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>').format(
            line.style, a, b, line.name
        )


def thinned(count):
    """Indices of at most `MOST_POINTS` of `count` points, evenly spread, the first and the last among them."""
    if count <= MOST_POINTS:
        return range(count)
    return [round(i * (count - 1) / (MOST_POINTS - 1)) for i in range(MOST_POINTS)]
