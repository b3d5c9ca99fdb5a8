"""Turns Matplotlib figures into inline SVG that follows the page's theme and speaks to screen readers."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Stand-ins that no figure uses otherwise: the page's variables replace them, in light, dark and print.
INK, MUTED, GRID, PAPER = "#fe0001", "#fe0002", "#fe0003", "#fe0004"
SERIES = tuple(f"#fe01{number:02x}" for number in range(7))
"""Colours of models; the template gives each a light and a dark tone that colour-blind readers tell apart."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SIGNS = ("●", "■", "▲", "◆", "▼", "✚", "✖")
"""The markers as characters, for legends in the text."""

_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES)
}
_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"


@dataclass(frozen=True)
class Drawing:
    """A figure for the page: the SVG element, and the sentence that says the same in words."""

    svg: str
    description: str


@contextmanager
def figure_style() -> Iterator[None]:
    """Matplotlib's settings for every figure: text stays text, and the same input gives the same bytes."""
    import matplotlib

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "vitalora",
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "lines.linewidth": 1.6,
        "lines.markersize": 6,
        "figure.constrained_layout.use": True,
    }
    with matplotlib.rc_context(settings):
        yield


def draw(figure: "Figure", key: str, title: str, description: str) -> Drawing:
    """Return a figure as an SVG element with a title and a description.

    `key` tells the figure's ids from those of other figures on the page.
    """
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(text.getvalue())
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    _prefix_ids(root, key)
    _round_coordinates(root)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-description")
    for name, words in (("description", description), ("title", title)):
        element = ElementTree.Element(
            f"{{{_SVG}}}{'desc' if name == 'description' else name}", id=f"{key}-{name}"
        )
        element.text = words
        root.insert(0, element)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return Drawing(_themed(ElementTree.tostring(root, encoding="unicode")), description)


def _prefix_ids(root: ElementTree.Element, key: str) -> None:
    """Keep only ids that something refers to, and make them the page's only ones."""
    whole = ElementTree.tostring(root, encoding="unicode")
    used = set(re.findall(r"url\(#([^)]+)\)", whole)) | set(re.findall(r'href="#([^"]+)"', whole))
    for element in root.iter():
        if (name := element.get("id")) is not None:
            if name in used:
                element.set("id", f"{key}-{name}")
            else:
                del element.attrib["id"]
        if target := element.get(_LINK):
            element.set(_LINK, target.replace("#", f"#{key}-"))
        for attribute in ("clip-path", "style"):
            if value := element.get(attribute):
                element.set(attribute, value.replace("url(#", f"url(#{key}-"))


def _round_coordinates(root: ElementTree.Element) -> None:
    """A hundredth of a point is finer than any screen; longer numbers only make the page larger."""
    for element in root.iter():
        for name in ("d", "x", "y", "transform"):
            if value := element.get(name):
                element.set(name, re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", value))


def _themed(svg: str) -> str:
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("'DejaVu Sans'", "system-ui, sans-serif")
