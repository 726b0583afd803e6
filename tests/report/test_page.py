"""The page as text: everything is there once, nothing of a run is taken as markup, its size is bounded."""

import base64
import html.parser
import json
import re
import shutil

import pytest
import yaml
from helpers import runs

from equidiff_cli.report.labels import differing
from equidiff_cli.report.page import MOST_BYTES, MOST_SECTIONS, render
from equidiff_cli.runs.reader import read

EVIL = "</script><script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Page(html.parser.HTMLParser):
    """The tags of a page with their attributes, and its text; fails where tags do not match."""

    VOID = ("meta", "link", "img", "br", "wbr", "input")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == [], self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag, **wanted):
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in wanted.items()}
        return [a for t, a in self.tags if t == tag and all(a.get(n) == v for n, v in wanted.items())]


def page_of(*paths):
    return Page(render([read(path, path.name) for path in paths]))


def test_every_sample_is_there_with_status_error_and_picture(make_run):
    path = make_run("run", samples=5)
    page, run = page_of(path), read(path, "run")
    cards = page.all("li", class_="card")
    assert [int(card["data-index"]) for card in cards] == list(range(5))
    for card, record in zip(cards, run.records, strict=True):
        assert card["data-status"] == record["status"]
        assert float(card["data-error"]) == pytest.approx(abs(record["objective_saved"] - 3.5) / 2)
    assert len([image for image in page.all("img") if image["alt"].startswith("sample ")]) == 5
    for text in (
        "Pictures with the same logit of cat in smallconv as the query",
        "has not been evaluated",
        "threshold 0.01",
    ):
        assert text in page.text, text


def test_ids_are_unique_and_every_link_inside_has_a_target(make_run, evaluated):
    page = page_of(evaluated(make_run("a")), make_run("b"), make_run("c", **{"filter.cutoff": 0.1}))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")} <= set(ids)
    labels = [a["aria-labelledby"].split() for _, a in page.tags if "aria-labelledby" in a]
    assert {name for names in labels for name in names} <= set(ids)


def test_every_metric_stands_beside_its_null_or_says_why_not(make_run, evaluated):
    path = evaluated(make_run("run"))
    page = page_of(path)
    for metric in json.loads((path / "evaluation.json").read_text())["metrics"]:
        assert metric["title"] in page.text
        why = metric.get("null_reason", "") if metric["value"] is not None else metric["reason"]
        assert why in page.text
    for text in ("0.0123 null spreads", "0.00500 to 0.0200, 95 % bootstrap", "1.03", "effective samples", "Friedman"):
        assert text in re.sub(r"\s+", " ", page.text), text
    assert "error after JPEG 90 (null spreads)" in page.text


def test_nothing_of_a_run_is_markup(make_run, evaluated):
    path = make_run(
        "run <script>alert(1)",
        overrides=[f"query={EVIL}"],
        query=EVIL,
        **{"target.name": EVIL, "objective.layer": EVIL},
    )
    evaluated(path, warnings=[EVIL], missing=[{"file": "samples/001.png", "why": EVIL}])
    text = (path / "evaluation.json").read_text().replace("Vendi", json.dumps(EVIL)[1:-1])
    (path / "evaluation.json").write_text(text)
    other = make_run("other", finished=False, wanted=9)
    for page in (page_of(path), page_of(path, other)):
        assert len(page.all("script")) == 1 and EVIL in page.text
        assert all(image["src"].startswith("data:image/") for image in page.all("img"))
        assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_nothing_is_loaded_from_elsewhere(make_run, evaluated):
    page = page_of(evaluated(make_run("run")))
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:")), attributes
    (policy,) = (meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_a_run_that_goes_on_and_pictures_that_are_gone(make_run):
    path = make_run("run", samples=3, finished=False, wanted=8)
    (path / "samples/001.png").unlink()
    (path / "samples/002.png").write_text("not a picture")
    page = page_of(path)
    text = re.sub(r"\s+", " ", page.text)
    assert "not finished when the page was made: 3 of 8 samples are finished" in text
    assert "samples/001.png (deleted)" in text and "samples/002.pngcannot be read" in text
    assert len(page.all("p", class_="placeholder")) == 2


def test_a_run_without_any_sample_yet_and_one_that_failed(make_run, tmp_path):
    (tmp_path / "job" / ".hydra").mkdir(parents=True)
    (tmp_path / "job" / "run.log").write_text("budget.steps=0: must be a whole number of at least 1")
    page = page_of(make_run("new", samples=0, finished=False, wanted=8), tmp_path / "job")
    assert "No sample of 8 is finished yet" in page.text and "0 of 8 samples are finished" in page.text
    assert "budget.steps=0: must be" in page.text


def test_an_evaluation_older_than_the_run_is_said(make_run, evaluated):
    path = make_run("run", samples=3)
    assert "lacks samples" not in page_of(evaluated(path)).text
    assert "lacks samples" in page_of(evaluated(path, per_sample=[{"index": 0}])).text
    early = page_of(evaluated(path, complete=False, warnings=["the run is not finished"])).text
    assert "lacks samples" in early and "the run is not finished" not in early


def test_copies_that_lack_a_file_are_not_called_what_they_are_not(make_run):
    path = make_run("run", samples=3)
    lines = (path / "samples.jsonl").read_text().splitlines(keepends=True)
    (path / "samples.jsonl").write_text("".join(lines[:2]))
    assert "samples.jsonl is damaged: it holds 2 of 3 samples." in page_of(path).text
    (path / "samples.jsonl").unlink()
    assert "are not pictures" not in page_of(path).text
    other = make_run("other", samples=3)
    (other / "summary.json").unlink()
    text = page_of(other).text
    assert "left no samples" not in text and "The run is not finished: 3 of 3 samples are." in text


def test_a_job_that_failed_changes_nothing_in_the_table_of_the_others(make_run):
    sweep = make_run.sweep("sweep", "filter.cutoff", [0.2, 0.3, 0.4])
    failed = sweep / "3"
    (failed / ".hydra").mkdir(parents=True)
    given = {"query": "cat", "device": "auto", "precision": "auto", "filter": {"cutoff": -1}}
    (failed / ".hydra/config.yaml").write_text(yaml.safe_dump(given))
    (failed / "run.log").write_text("filter.cutoff=-1: must be a number")
    alone, with_failed = ([read(sweep / str(i), str(i)) for i in range(count)] for count in (3, 4))
    assert differing(with_failed) == differing(alone) == ["filter.cutoff"]
    page = page_of(*(sweep / str(i) for i in range(4)))
    assert "hold different things" not in page.text and "Error against filter.cutoff" in page.text
    assert "filter.cutoff=-1: must be a number" in page.text


def test_runs_of_different_targets_are_said_to_be(make_run):
    found = [make_run(f"{name}-{seed}", seed=seed, **{"target.name": name}) for name in ("a", "b") for seed in (1, 2)]
    different, same = page_of(*found), page_of(*found[:2])
    assert "4 runs that hold different things" in different.text and "b: logit of cat, query cat" in different.text
    assert "raw values cannot" in different.text
    assert "the same logit of cat in a as the query" in same.text and "raw values" not in same.text


def test_the_table_of_a_sweep_has_what_differs(make_run):
    sweep = make_run.sweep("sweep", "filter.cutoff", [0.1, 0.4, 0.8], samples=2)
    page = page_of(*(sweep / str(job) for job in range(3)))
    cells = [cell["data-value"] for cell in page.all("td") if "data-value" in cell][:18]
    assert cells[5::6] == ["0.1", "0.4", "0.8"], "a row has finished, converged, error, steps, seconds and this"
    assert cells[::6] == ["2"] * 3 and cells[1::6] == ["0.5"] * 3
    assert "Error against filter.cutoff" in page.text and "1: filter.cutoff=0.4" in page.text
    assert "Repeat it" in page.text and "equidiff run filter.cutoff=0.4" in page.text


def test_points_of_the_plane_are_listed_beside_the_figure(make_run):
    path = make_run("run", samples=3)
    for file in (path / "samples").iterdir():
        file.with_suffix(".txt").write_text("0.25 -1.5\n")
        file.unlink()
    lines = (path / "samples.jsonl").read_text().replace(".png", ".txt")
    (path / "samples.jsonl").write_text(lines)
    page = page_of(path)
    assert "0.250, −1.50" in page.text and "coordinates" in page.text
    assert len(page.all("img")) == 1 and "grid.png" in page.all("img")[0]["alt"]
    (path / "grid.png").unlink()
    assert not any("grid.png" in image["alt"] for image in page_of(path).all("img"))


def test_a_page_of_large_pictures_stays_small(make_run):
    """64 pictures of noise, which compress worst, at 256 pixels a side."""
    assert len(render([read(make_run("run", samples=64, side=256, steps=80), "run")])) < 1.5 * MOST_BYTES


def test_hundreds_of_runs_stay_usable(make_run):
    run = read(make_run("run", samples=40, side=96), "run")
    text = render([run] * (MOST_SECTIONS + 50))
    assert len(text) < 2.5 * MOST_BYTES
    assert text.count('<details class="run"') == MOST_SECTIONS and not re.search('<details class="run"[^>]*open', text)
    assert "50 more stand in the table alone" in text and "38 more samples are not shown here" in text
    assert "23 more samples are not listed" in text, "17 rows a run"


FINDINGS = [
    {"question": "next", "title": "What to do next?", "answer": "Draw 64 samples."},
    {"question": "held", "title": "Did it hold?", "answer": "On file 8 of 8 hold."},
]


def both_see(index):
    return {"smallconv": runs.seen(index), "smallresnet": runs.also_seen(index)}


def test_what_was_found_comes_first(make_run, evaluated):
    text = page_of(evaluated(make_run("run"), findings=FINDINGS, warnings=["a warning"])).text
    places = [
        text.index(part) for part in ("a warning", "Did it hold?", "8 of 8 hold", "What to do", "Target", "Status")
    ]
    assert places == sorted(places), "in the order of the questions, below the warnings, above all else"
    assert "equidiff evaluate" not in text


def test_without_an_evaluation_the_records_speak_and_the_command_says_how_to_hear_more(make_run):
    path = make_run("run", samples=3)
    lines = [json.loads(line) | {"on_file": i != 1} for i, line in enumerate((path / "samples.jsonl").open())]
    (path / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = page_of(path)
    head = page.text[: page.text.index("Target")]
    for part in (
        "1 of 3 samples converged",
        "2 of 3 are below the threshold on file",
        "Median error",
        "equidiff evaluate",
    ):
        assert part in head
    assert page.text.count("not on file") == 1
    assert "yes" in page.text and "2 of 3" in page.text


def test_every_picture_says_what_networks_see_and_what_it_was_before(make_run, evaluated):
    rows = [{"index": i, "error_spreads": 0.1, "seen": both_see(i)} for i in range(4)]
    path = evaluated(make_run("run"), per_sample=rows, query_seen={"smallresnet": {"class": "dog", "probability": 0.5}})
    page = page_of(path)
    for i in range(4):
        other = ("cat", "truck")[i % 2]
        assert f"smallconv: cat {0.9 - i / 100:.2f} | smallresnet: {other} {0.5 + i / 100:.2f}" in page.text
    assert "smallresnet: dog 0.50" in page.text, "of the query"
    befores = [image for image in page.all("img") if image["alt"].startswith("unguided picture of the same noise")]
    for i, image in enumerate(befores):
        data = base64.b64decode(image["src"].partition(",")[2])
        assert data == (path / f"unguided/00{i}.png").read_bytes()
    assert len(befores) == 4
    disagreement = [float(card["data-disagreement"]) for card in page.all("li", class_="card")]
    assert disagreement == pytest.approx([0, 0.51, 0, 0.53])
    assert {"value": "disagreement"} in page.all("option")
    rows[2] |= {"disagreement": 7.5}
    again = page_of(evaluated(path, per_sample=rows)).all("li", class_="card")
    assert float(again[2]["data-disagreement"]) == 7.5, "the evaluation has the last word"


def test_a_run_of_an_earlier_version_has_its_page_all_the_same(make_run):
    path = make_run("run", samples=2)
    shutil.rmtree(path / "unguided")
    text = (path / "samples.jsonl").read_text()
    (path / "samples.jsonl").write_text(re.sub(r'"seen": \{.*?\}\}, ', "", text))
    page = page_of(path)
    assert "seen" not in (path / "samples.jsonl").read_text() and len(page.all("li", class_="card")) == 2
    assert "unguided picture" not in page.text and "smallconv: cat" not in page.text.partition("Optimisation")[0][-200:]
    assert not page.all("option", value="disagreement")


def test_the_ways_to_files_stand_in_details_alone(make_run, evaluated):
    path = make_run("run", samples=1, query="/home/me/pets/dog.png", **{"target.name": "/nets/own.pth"})
    metric = {"section": "diversity", "name": "lpips", "title": "LPIPS", "value": None, "samples": 1, "needs": 1}
    metric |= {
        "reason": "no weights (/root/.cache/hub/alexnet.pth)",
        "null": None,
        "null_reason": "none in /root/.cache/x",
    }
    text = page_of(evaluated(path, metrics=[metric])).text
    before, after = text.split("Settings", 1)
    assert "no weights (alexnet.pth)" in before and "dog.png" in before and "own.pth" in before
    assert "/root" not in before and "/home" not in before and "/nets" not in before
    assert "/home/me/pets/dog.png" in after


def test_a_sweep_says_which_run_is_which(make_run):
    sweep = make_run.sweep("sweep", "filter.cutoff", [0.4, 0.1], samples=3)
    page = page_of(sweep / "0", sweep / "1")
    top = page.text[: page.text.index("Table of runs", page.text.index("Which run is which"))]
    assert "filter.cutoff=0.4" in top and "filter.cutoff=0.1" in top and "sample 2" in top
    assert "began with the same noise" in top
    shown = [image["alt"] for image in page.all("img")][:7]
    assert shown == ["the query of all runs", *(f"sample {i} of run {name}" for name in "01" for i in range(3))]


def test_runs_of_different_queries_show_them(make_run):
    page = page_of(*(make_run(f"run-{query}", samples=2, query=query) for query in ("cat", "dog")))
    assert [image["alt"] for image in page.all("img") if image["alt"].startswith("the query query=")] == [
        "the query query=cat",
        "the query query=dog",
    ]
    assert "the query of all runs" not in [image["alt"] for image in page.all("img")]


def test_the_deviation_that_one_sweeps_the_cutoff_for(make_run, evaluated):
    sweep = make_run.sweep("sweep", "filter.cutoff", [0.4, 0.1, 0.8], samples=2)
    paths = [sweep / str(i) for i in range(3)]
    assert "is measured by equidiff evaluate" in page_of(*paths).text
    page = page_of(*map(evaluated, paths))
    assert "is measured by equidiff evaluate" not in page.text
    comparison = page.text[page.text.index("Comparison", 500) :]
    assert "Deviation against the cutoff, for each filter.cutoff" in comparison
    assert comparison.index("Deviation against") < comparison.index("Loss so far")
