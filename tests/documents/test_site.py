"""The documentation as a site, as `make docs` builds it: strict, complete, and without anything from elsewhere."""

import re
from pathlib import Path

import pytest
from sphinx.application import Sphinx

from tests.helpers.documents import DOCS

# Of MyST-Parser, for a Sphinx that is not out yet.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; a broken link, a page that no menu names and every other warning end the build."""
    folder = tmp_path_factory.mktemp("site")
    Sphinx(
        str(DOCS),
        str(DOCS),
        str(folder),
        str(folder / "trees"),
        "html",
        status=None,
        exception_on_warning=True,
    ).build()
    return folder


def test_every_page_is_there_and_two_clicks_from_the_start_at_most(site: Path) -> None:
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert {path.stem for path in site.glob("*.html")} >= {*pages, "index"}
    first = links(site / "index.html")
    second = {page for name in first for page in links(site / f"{name}.html")}
    assert pages <= first | second


def links(page: Path) -> set[str]:
    """The pages of the site to which the text of a page leads; its menus do not count."""
    text = page.read_text(encoding="utf-8")
    article = text.partition('<article role="main"')[2].partition("</article>")[0]
    assert article
    return set(re.findall(r'<a class="reference internal" href="([\w-]+)\.html', article))


def test_a_page_loads_nothing_from_another_site(site: Path) -> None:
    loaded = [
        address
        for path in site.glob("*.html")
        for tag in re.findall(r"<(?:script|link|img|iframe)[^>]*>", path.read_text(encoding="utf-8"))
        for address in re.findall(r'(?:src|href)="((?:https?:)?//[^"]+)"', tag)
    ]
    assert loaded == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.glob("_static/**/*.css"))
    assert re.findall(r"@import|url\(['\"]?(?:https?:)?//", styles) == []


def test_formulas_are_mathml_and_need_no_script(site: Path) -> None:
    page = (site / "metrics.html").read_text(encoding="utf-8")
    article = page.partition('<article role="main"')[2].partition("</article>")[0]
    formulas = (DOCS / "metrics.md").read_text(encoding="utf-8").count("$$") // 2
    assert article.count('display="block"') == formulas > 4
    assert "$" not in re.sub(r"<[^>]+>", "", article)
