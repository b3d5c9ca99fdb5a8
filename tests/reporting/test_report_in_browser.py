"""Opens the report in headless Chromium, as readers do: on a screen and a phone, light, dark, printed, without scripts.

The screenshots are written to the folder that REPORT_SCREENSHOTS names, else to the test's own.
"""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.reporting.fabricated_study import ARMS, MODELS, SCRATCH, fabricate_study
from tests.reporting.report_page import report_of

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

SIZES = {"screen": (1440, 1000), "phone": (390, 844)}
SMALLEST_TEXT = 8.5
"""Pixels: a chart's text on a phone, where the whole figure shrinks a little."""

A4 = 718
"""Pixels between margins of 10 mm: 190 mm at 96 pixels an inch."""

MEASURES = """() => [...document.querySelectorAll('.chart')].map(chart => {
    const drawing = chart.querySelector('svg'), frame = drawing.getBoundingClientRect();
    const marks = chart.querySelectorAll('.mark-symbol path, .mark-rule line, .mark-line path');
    const texts = [...drawing.querySelectorAll('text')].filter(text => text.textContent.trim());
    const boxes = texts.map(text => text.getBoundingClientRect());
    return {
        name: chart.id,
        width: frame.width,
        marks: marks.length,
        smallest: Math.min(...texts.map(text => parseFloat(getComputedStyle(text).fontSize)))
            * frame.width / drawing.viewBox.baseVal.width,
        cut: texts.filter((text, place) => text.textContent.includes('…')
            || boxes[place].left < frame.left - 1 || boxes[place].right > frame.right + 1
            || boxes[place].top < frame.top - 1 || boxes[place].bottom > frame.bottom + 1)
            .map(text => text.textContent),
        crossed: boxes.flatMap((one, place) => boxes.slice(place + 1).filter(two =>
            Math.min(one.right, two.right) - Math.max(one.left, two.left) > 2
            && Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top) > 0.4 * one.height)
            .map(() => texts[place].textContent)),
    };
})"""
"""Of every drawing: its width, its marks, its smallest text, and texts that are cut off or overlap."""

BEYOND = """width => [...document.querySelectorAll('body *:not(svg *, .hidden)')]
    .filter(part => part.getClientRects().length && part.getBoundingClientRect().right > width + 1)
    .map(part => `${part.tagName} ${part.textContent.trim().slice(0, 60)}`)"""
"""What ends right of a page so wide."""

UNFOLD = """() => document.querySelectorAll('details').forEach(part =>
    part.open = !part.closest('figcaption') || part === document.querySelector('figcaption details'))"""
"""All figures have the same table of data: one stands for all of them."""


RULES = {
    ("screen", "light"): {"resultTypes": ["violations"]},
    ("screen", "dark"): {"resultTypes": ["violations"], "runOnly": ["color-contrast"]},
    ("phone", "light"): {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": False}}},
    ("phone", "dark"): None,
}
"""Options of axe for each look."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The report of a study with two cohorts, long names and everything in it."""
    folder = tmp_path_factory.mktemp("browser")
    study = fabricate_study(
        folder,
        models=MODELS[:2],
        arms=ARMS[:4],
        scratch=[*SCRATCH[:1], ("n-hits-hr", "trained")],
        vitals=("mean_blood_pressure",),
        cohorts=("explicit", "sepsis3"),
        failed=[(MODELS[1], "full")],
    )
    report = report_of(study)
    (folder / "report.html").write_text(report.html)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def visit(browser, path, size, scripts=True):
    """Open the page with all its folds; what it says on the console and asks of the network is in `page.noise`."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, java_script_enabled=scripts)
    page = context.new_page()
    page.noise = []
    page.on("console", lambda message: page.noise.append(message.text))
    page.on("pageerror", lambda error: page.noise.append(str(error)))
    page.on(
        "request", lambda request: page.noise.append(request.url) if request.url != path.as_uri() else None
    )
    page.goto(path.as_uri())
    page.evaluate(UNFOLD)
    yield page
    context.close()


@pytest.fixture(scope="module", params=list(SIZES))
def live(browser, path, request):
    """The page on a screen or a phone, scrolled through until every drawing has become a live chart."""
    with visit(browser, path, request.param) as page:
        page.size = request.param
        for chart in page.locator(".chart").all():
            chart.scroll_into_view_if_needed()
        page.wait_for_function(
            "document.querySelectorAll('.chart:not([data-live])').length === 0", timeout=240_000
        )
        page.evaluate("scrollTo(0, 0)")
        yield page


def check_drawings(page):
    measures = page.evaluate(MEASURES)
    assert len(measures) > 20
    for chart in measures:
        assert chart["width"] > 250, chart
        assert chart["marks"] > 0, chart
        assert chart["smallest"] >= SMALLEST_TEXT, chart
        assert (chart["cut"], chart["crossed"]) == ([], []), chart["name"]


def test_the_page_is_whole_and_every_text_of_its_charts_can_be_read(live):
    assert live.noise == []
    # Nothing but tables scrolls sideways.
    assert live.evaluate("document.documentElement.scrollWidth") == SIZES[live.size][0]
    check_drawings(live)


def test_the_verdicts_on_the_findings_are_seen_without_scrolling_sideways(live):
    marks = live.locator("section[aria-labelledby=findings] .mark").all()
    assert len(marks) == 14  # Seven lines, and a claim in each.
    for mark in marks:
        box = mark.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= SIZES[live.size][0]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_in_either_theme(live, theme, tmp_path):
    live.emulate_media(color_scheme=theme)
    folder = Path(os.environ.get("REPORT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"report-{live.size}-{theme}.png"
    live.screenshot(path=picture)
    assert picture.stat().st_size > 10_000
    # Colours do not change with the size, nor the page with the theme: what was looked at once is left out.
    if not (rules := RULES[live.size, theme]):
        return
    violations = axe.Axe().run(live, options=rules).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:200]) for found in violations] == []


def test_a_chart_answers_to_the_pointer_and_its_data_to_the_keyboard(live):
    chart = live.locator(".chart").first
    chart.scroll_into_view_if_needed()
    chart.locator(".mark-symbol path").first.hover(force=True)
    tooltip = live.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "MSE" in tooltip.inner_text()
    table = live.locator("figure details table").first
    assert table.is_visible()
    live.locator("figure summary").first.focus()
    live.keyboard.press("Enter")
    assert not table.is_visible()
    live.keyboard.press("Enter")
    assert table.is_visible()


def test_it_prints_on_paper_in_dark_ink_whatever_the_theme(live, tmp_path):
    live.set_viewport_size({"width": A4, "height": 1000})
    live.emulate_media(media="print", color_scheme="dark")
    assert live.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert live.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not live.locator("nav").is_visible()
    # Also what the reader unfolded: nothing lies beyond the page.
    assert live.evaluate(BEYOND, A4) == []
    live.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("size", list(SIZES))
def test_without_scripts_the_drawings_stand_whole(browser, path, size):
    with visit(browser, path, size, scripts=False) as page:
        assert page.noise == []
        assert page.locator(".chart > svg").count() == page.locator(".chart").count()
        check_drawings(page)


def test_the_leaderboard_is_sorted_by_a_click_or_a_key_on_a_head(live):
    table = live.locator("table.sortable").first
    shown = "rows => rows.map(row => parseFloat(row.cells[3].textContent))"

    def ranks():
        return table.locator("tbody tr").evaluate_all(shown)

    head = table.get_by_role("button", name="mean rank")
    head.click()
    assert ranks() == sorted(ranks())
    assert table.locator("th[aria-sort=ascending]").inner_text().startswith("mean rank")
    head.press("Enter")
    assert ranks() == sorted(ranks(), reverse=True)
    table.get_by_role("button", name="model and arm").click()
    names = table.locator("tbody th").all_inner_texts()
    assert names == sorted(names)
    assert len(names) > 10
