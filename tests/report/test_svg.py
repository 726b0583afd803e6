"""Plots: places, ticks, gaps, escaping; checked by reading the SVG back as XML."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from equidiff_cli.report.svg import MOST_POINTS, Axis, Line, Plot, Scale, draw, nice

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*lines, x="step", **options):
    """The elements of a plot with a logarithmic y, by (tag, first class)."""
    plot = Plot("title", "about.", Axis(x), Axis("loss", scale="log"), list(lines), **options)
    text = str(draw(plot, "p")).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    elements = {}
    for element in ElementTree.fromstring(text).iter():
        key = element.tag.removeprefix(SVG), element.get("class", "").split(" ")[0]
        elements.setdefault(key, []).append(element)
    return elements


def places(path):
    return [tuple(map(float, pair.split())) for pair in re.split("[ML]", path.get("d")) if pair]


def test_equal_factors_are_equal_distances_on_a_logarithmic_scale():
    found = drawn(Line("a", [1, 2, 3], [100.0, 10.0, 1.0], "run-0"))
    (x1, y1), (x2, y2), (x3, y3) = places(found["path", "line"][0])
    assert y2 - y1 == pytest.approx(y3 - y2, abs=0.11) and y1 < y2, "up is less in SVG"
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.11)


def test_a_tick_stands_where_its_value_is_drawn():
    scale = Scale([0.003, 250.0], 0, 1000, "log")
    for value, words in scale.ticks(6):
        share = (math.log10(value) - math.log10(0.003)) / (math.log10(250) - math.log10(0.003))
        assert scale(value) == pytest.approx(1000 * share, abs=0.06)
        assert float(words) == pytest.approx(value)
    assert [words for _, words in Scale([0, 103], 0, 1, "linear").ticks(6)] == ["0", "20", "40", "60", "80", "100"]
    assert [words for _, words in Scale([0.9, 1.1], 0, 1, "linear").ticks(4)] == [
        "0.90",
        "0.95",
        "1.00",
        "1.05",
        "1.10",
    ]


@pytest.mark.parametrize("values", [[], [None], [5.0], [0.0, -1.0], [1e-30, 1e30], [7, 7]])
@pytest.mark.parametrize("kind", ["linear", "log"])
def test_scales_take_whatever_there_is(values, kind):
    scale = Scale(values, 0, 100, kind)
    ticks = scale.ticks(6)
    assert len(ticks) <= 12 and all(-1 <= scale(value) <= 101 for value, _ in ticks)


@pytest.mark.parametrize(("step", "rounded"), [(0.11, 0.2), (1, 1), (2.1, 5), (6, 10), (0.05, 0.05)])
def test_steps_are_round(step, rounded):
    assert nice(step) == pytest.approx(rounded)


def test_what_has_no_logarithm_is_a_gap():
    found = drawn(Line("a", [1, 2, 3, 4, 5, 6, 7], [5.0, 4.0, None, 3.0, 0.0, 2.0, 1.0], "run-0"))
    assert found["path", "line"][0].get("d").count("M") == 2, "two pieces"
    assert len(found["circle", "dot"]) == 1, "and a single point between them"


def test_long_lines_are_thinned_but_keep_their_ends():
    found = drawn(Line("a", list(range(1000)), [1.0 + i for i in range(1000)], "run-0"))
    points = places(found["path", "line"][0])
    whole = drawn(Line("a", [0, 999], [1.0, 1000.0], "run-0"))
    assert len(points) == MOST_POINTS
    assert [points[0], points[-1]] == places(whole["path", "line"][0])


def test_texts_are_escaped_and_the_plot_says_what_it_shows():
    name = '<script>alert("1")</script>'
    found = drawn(
        Line(name, [1, 2], [1.0, 2.0], "run-0"), x=name, rules=[(1.5, name)], band=(1.1, 1.2, name), finding=name
    )
    assert ("script", "") not in found
    titles = [element.text for element in found["title", ""]]
    assert titles[0] == "title" and titles.count(name) == 3
    assert found["desc", ""][0].text == f"about. {name}"
    assert found["svg", "plot"][0].get("role") == "img"
    assert found["svg", "plot"][0].get("aria-labelledby") == "p-t p-d"


def test_steps_are_whole_numbers():
    ticks = Scale([1, 3], 0, 100, "linear").ticks(7, whole=True)
    assert [words for _, words in ticks] == ["1", "2", "3"]
