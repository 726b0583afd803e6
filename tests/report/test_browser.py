"""The page in a real browser: it loads alone and without errors, sorts, filters, fits a phone, obeys the keyboard."""

import os
import shutil

import pytest
from playwright import sync_api

from equidiff_cli.report.page import render
from equidiff_cli.runs.reader import read

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic"]
EVIL = "run <script>document.title='caught'</script>".replace("/", "")
CLOSING = "</script><script>document.title='caught'</script><img src=x onerror=document.title='caught'>"


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no chromium is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, make_run, tmp_path):
    """Open the report of runs in a window of a width; what goes wrong or is asked of a network fails the test."""
    troubles = []

    def call(*paths, width=1200):
        (tmp_path / "report.html").write_text(render([read(path, path.name) for path in paths]))
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.on("console", lambda message: troubles.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        page.on("request", lambda request: troubles.append(request.url) if not local(request.url) else None)
        page.goto((tmp_path / "report.html").as_uri())
        return page

    def local(url):
        return url.startswith("data:") or url == (tmp_path / "report.html").as_uri()

    yield call
    assert troubles == []


def shown(page, selector=".card"):
    """Indices of the samples that can be seen, in their order on the page."""
    items = page.locator(f"{selector}[data-index]").all()
    return [int(item.get_attribute("data-index")) for item in items if item.is_visible()]


def test_pictures_are_sorted_and_filtered(opened, make_run):
    path = make_run("run", samples=7)
    page, records = opened(path), read(path, "run").records
    error = {r["index"]: abs(r["objective_saved"] - r["target"]) / 2 for r in records}
    assert shown(page) == list(range(7)) and page.locator("output").inner_text() == "7 of 7 shown"

    page.locator("[name=sort]").select_option("error")
    assert [error[i] for i in shown(page)] == sorted(error.values())
    page.get_by_role("button", name="descending").click()
    assert [error[i] for i in shown(page)] == sorted(error.values(), reverse=True)

    page.locator("[name=status]").select_option("budget")
    assert sorted(shown(page)) == sorted(shown(page, "tbody tr")) == [1, 4]
    page.get_by_role("button", name="reset").click()
    page.locator("[name=error]").fill("0.025")
    page.wait_for_function("document.querySelector('output').textContent != '7 of 7 shown'")
    assert shown(page) == [i for i in range(7) if error[i] <= 0.025] != list(range(7))
    page.locator("[name=error]").fill("")
    page.locator("[name=index]").fill("5, 0-2")
    assert shown(page) == [0, 1, 2, 5]
    page.locator("[name=index]").fill("x")
    assert page.locator("[name=index]").get_attribute("aria-invalid") == "true"


def test_pictures_are_sorted_by_disagreement(opened, make_run, evaluated):
    sees = ("cat", 0.9), ("dog", 0.4), ("dog", 0.8), ("cat", 0.2)
    rows = [
        {"index": i, "seen": {"a": {"class": "cat", "probability": 0.9}, "b": {"class": c, "probability": p}}}
        for i, (c, p) in enumerate(sees)
    ]
    page = opened(evaluated(make_run("run"), per_sample=rows))
    page.locator("[name=sort]").select_option("disagreement")
    page.get_by_role("button", name="descending").click()
    assert shown(page)[:2] == [2, 1]


def test_samples_without_a_number_come_last(opened, make_run):
    page = opened(make_run("run", samples=6))  # the loss of samples 2 and 5 is not finite
    page.locator("[name=sort]").select_option("loss")
    assert shown(page) == [4, 3, 1, 0, 2, 5]
    page.get_by_role("button", name="descending").click()
    assert shown(page)[:4] == [0, 1, 3, 4]


def test_the_table_of_runs_is_sorted_by_numbers(opened, make_run):
    sweep = make_run.sweep("sweep", "budget.steps", [100, 20, 3], samples=1)
    page = opened(*(sweep / str(job) for job in range(3)))
    table = page.locator("table.sortable").first
    head = table.get_by_role("columnheader", name="budget.steps")
    for expected, direction in ((["3", "20", "100"], "ascending"), (["100", "20", "3"], "descending")):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == direction
        assert table.locator("tbody tr td:nth-child(7)").all_inner_texts() == expected  # after what came of each
    assert table.locator("[aria-sort=ascending], [aria-sort=descending]").count() == 1


@pytest.mark.parametrize("width", [320, 400, 900, 1400])
def test_nothing_overflows(opened, make_run, evaluated, width):
    long = make_run(EVIL, samples=5, side=256, query="a" * 90 + ".png", overrides=["query=" + "a" * 90])
    other = make_run("other", samples=3, finished=False, wanted=5, **{"filter.cutoff": 0.25})
    for paths in ([evaluated(long)], [long, evaluated(other)]):
        page = opened(*paths, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wide = page.evaluate(
            """width => [...document.querySelectorAll('main *')]
                .filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > width + 1)
                .map(e => e.outerHTML.slice(0, 80))""",
            width,
        )
        assert wide == []


@pytest.mark.parametrize("width", [400, 1200])
def test_small_pictures_are_enlarged_by_whole_numbers_and_crisp(opened, make_run, width):
    page = opened(make_run("run", side=32), width=width)
    for image in page.locator("main img").all():
        box = image.evaluate("e => e.clientWidth / e.naturalWidth")
        assert (
            box == int(box) >= (2 if image.get_attribute("alt").startswith("unguided") else 3)
            and image.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"
        )
        assert image.evaluate("e => e.complete && e.naturalWidth") == 32


def test_large_pictures_are_not_enlarged(opened, make_run):
    for image in opened(make_run("run", side=128)).locator(".pair > img").all():
        assert image.evaluate("e => [e.clientWidth, e.clientHeight]") == [128, 128]


def test_everything_can_be_done_from_the_keyboard(opened, make_run):
    page = opened(make_run("run", samples=5))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    box = page.locator(".skip").bounding_box()
    assert box["x"] >= 0 and box["y"] >= 0, "the link is seen once it has the focus"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"

    reached = set()
    while True:  # once around the page
        page.keyboard.press("Tab")
        name, again = page.evaluate(
            """() => { const it = document.activeElement, again = it.dataset.seen; it.dataset.seen = "yes";
                return [it.name || it.textContent.trim(), Boolean(again)] }"""
        )
        if again:
            break
        reached.add(name)
        if name == "order":
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            page.keyboard.press("Space")
            assert shown(page) == [4, 3, 2, 1, 0]
        if name == "steps":
            page.keyboard.press("Enter")
    assert {"status", "error", "index", "sort", "order", "reset", "steps", "Settings"} <= reached
    assert page.get_by_role("columnheader", name="steps").get_attribute("aria-sort") == "ascending"


def test_names_are_inert(opened, make_run, evaluated):
    path = evaluated(make_run(EVIL, query=CLOSING, overrides=[f"query={CLOSING}"]), warnings=[CLOSING])
    for paths in ([path], [path, make_run("other")]):
        page = opened(*paths)
        assert "caught" not in page.title() or "<script>" in page.title()
        assert page.locator("script").count() == 1 and page.get_by_text(CLOSING).count() > 0


def test_a_link_to_a_run_opens_its_section(opened, make_run):
    page = opened(*(make_run(str(i), seed=i) for i in range(6)))
    section = page.locator("#run-4")
    assert section.get_attribute("open") is None
    page.get_by_role("link", name="4", exact=True).click()
    page.wait_for_function("document.getElementById('run-4').open")
    assert section.locator(".card").first.is_visible()


def test_text_can_be_read_in_light_and_dark(opened, make_run, evaluated):
    """Contrast of the colours that carry text, by the formula of WCAG 2: 4.5 at least."""
    page = opened(evaluated(make_run("run")))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        paper, *inks = page.evaluate(
            """() => { const style = getComputedStyle(document.documentElement);
                return ['paper', 'text', 'soft', 'accent', 'converged', 'budget', 'nonfinite']
                    .map(name => style.getPropertyValue('--' + name).trim()) }"""
        )
        assert all(contrast(ink, paper) >= 4.5 for ink in inks), scheme


def contrast(one, other):
    first, second = sorted((luminance(one), luminance(other)), reverse=True)
    return (first + 0.05) / (second + 0.05)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_on_paper_every_run_is_open_and_the_page_is_light(opened, make_run, tmp_path):
    page = opened(*(make_run(str(i), seed=i, samples=2) for i in range(5)))
    page.emulate_media(color_scheme="dark", media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert all(card.is_visible() for card in page.locator(".card").all())
    assert not page.locator(".controls").first.is_visible()
    assert page.pdf().startswith(b"%PDF")
