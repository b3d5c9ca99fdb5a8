"""Opens the report in headless Chromium, as readers do: on a screen and a phone, light, dark, printed, without scripts.

The screenshots are written to the folder that REPORT_SCREENSHOTS names, else to the test's own.
"""

import os
import shutil
from pathlib import Path

import pytest
from fabricated_study import ARMS, MODELS, SCRATCH, fabricate_study
from report_page import report_of

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

SIZES = {"screen": (1440, 1000), "phone": (390, 844)}
SMALLEST_TEXT = 8.5
"""Pixels: a chart's text on a phone, where the whole figure shrinks a little."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The report of a study with two cohorts and everything in it."""
    folder = tmp_path_factory.mktemp("browser")
    study = fabricate_study(
        folder,
        models=MODELS[:2],
        arms=ARMS[:4],
        scratch=SCRATCH[:1],
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


@pytest.fixture
def visit(browser, path):
    """Open the page; what it says on the console and asks of the network is gathered in `page.noise`."""
    opened = []

    def visit(size="screen", theme="light", scripts=True):
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, java_script_enabled=scripts
        )
        page = context.new_page()
        page.noise = []
        page.on("console", lambda message: page.noise.append(message.text))
        page.on("pageerror", lambda error: page.noise.append(str(error)))
        page.on(
            "request",
            lambda request: page.noise.append(request.url) if request.url != path.as_uri() else None,
        )
        page.goto(path.as_uri())
        opened.append(context)
        return page

    yield visit
    for context in opened:
        context.close()


def enliven(page):
    """Scroll through the page until every drawing has become a live chart."""
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
    page.wait_for_function(
        "document.querySelectorAll('.chart:not([data-live])').length === 0", timeout=120_000
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_the_page_is_whole_readable_and_accessible(visit, size, theme, tmp_path):
    page = visit(size, theme)
    enliven(page)
    assert page.noise == []
    # Nothing but tables scrolls sideways.
    assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0]
    measures = page.evaluate(
        """() => [...document.querySelectorAll('.chart')].map(chart => {
            const drawing = chart.querySelector('svg').getBoundingClientRect();
            const marks = chart.querySelectorAll('.mark-symbol path, .mark-rule line, .mark-line path');
            const texts = [...chart.querySelectorAll('svg text')].filter(text => text.textContent.trim());
            const inside = texts.every(text => {
                const box = text.getBoundingClientRect();
                return box.left >= drawing.left - 3 && box.right <= drawing.right + 3;
            });
            const sizes = texts.map(text => parseFloat(getComputedStyle(text).fontSize)
                * drawing.width / chart.querySelector('svg').viewBox.baseVal.width);
            const boxes = texts.map(text => text.getBoundingClientRect());
            const crossed = boxes.some((one, place) => boxes.slice(place + 1).some(two =>
                Math.min(one.right, two.right) - Math.max(one.left, two.left) > 2
                && Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top) > 0.4 * one.height));
            return [chart.id, drawing.width, marks.length, Math.min(...sizes), inside, crossed];
        })"""
    )
    assert len(measures) > 20
    for name, width, marks, text, inside, crossed in measures:
        assert width > 250, name
        assert marks > 0, name
        assert text >= SMALLEST_TEXT, name
        assert inside, f"a text of {name} is cut off"
        assert not crossed, f"two texts of {name} overlap"
    page.evaluate("scrollTo(0, 0)")
    folder = Path(os.environ.get("REPORT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"report-{size}-{theme}.png"
    page.screenshot(path=picture)
    assert picture.stat().st_size > 10_000
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    violations = axe.Axe().run(page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:200]) for found in violations] == []


def test_a_chart_answers_to_the_pointer_and_its_data_to_the_keyboard(visit):
    page = visit()
    enliven(page)
    chart = page.locator(".chart").first
    chart.scroll_into_view_if_needed()
    chart.locator(".mark-symbol path").first.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "MSE" in tooltip.inner_text()
    summary = page.locator("figure summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("figure details[open] table").first.is_visible()


def test_without_scripts_the_drawings_stand(visit):
    page = visit(scripts=False)
    assert page.noise == []
    charts = page.locator(".chart > svg")
    assert charts.count() == page.locator(".chart").count() > 20
    assert charts.first.is_visible()


def test_it_prints_on_paper_in_dark_ink_whatever_the_theme(visit, tmp_path):
    page = visit(theme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not page.locator("nav").is_visible()
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
