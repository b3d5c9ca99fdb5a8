"""A figure of a user's own series and their forecasts, for the forecast program."""

import re
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workflow_scripts.runtime.files import MADE_BY, atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 6
"""Panels in the figure, the first series by name; more would be too small to read."""

FONT = "DejaVu Sans"
"""The font that comes with matplotlib."""

METADATA = {
    "svg": {"Creator": MADE_BY, "Date": None},
    "pdf": {"Creator": MADE_BY},
    "png": {"Software": MADE_BY},
}
"""What a figure says of itself; without the date, so that the same forecast gives the same SVG."""


def draw_forecasts(
    path: Path,
    names: Sequence[str],
    context: np.ndarray,
    quantiles: np.ndarray,
    levels: Sequence[float],
    step_seconds: int,
    title: str,
    quantity: str,
) -> None:
    """Write an SVG, PNG or PDF: what was charted, the median forecast and the range between outer quantiles.

    context: [series, context]; quantiles: [series, levels, horizon]; the same unit. quantity: what they are, for the
    axis. The series are in the natural order of their names: bed 2 comes before bed 10.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown = sorted(range(len(names)), key=lambda number: natural_order(names[number]))[:SHOWN]
    style: Any = {
        "svg.hashsalt": "vitalora",
        "svg.fonttype": "none",  # Text stays text, in whatever script.
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,  # A name with $ is no formula.
        "font.family": [FONT, *_further_fonts("".join(names[number] for number in shown)), "sans-serif"],
    }
    with rc_context(style):
        figure = Figure(figsize=(8, 0.8 + 1.9 * len(shown)), layout="constrained")
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, number in zip(panels, shown, strict=True):
            _draw_series(axes, context[number], quantiles[number], levels, step_seconds / 3600)
            axes.set_title(_drawable(names[number]), loc="left", fontsize=9)
            axes.set_ylabel(quantity, fontsize=8)
        figure.align_ylabels(panels)
        panels[0].legend(frameon=False, fontsize=8, ncols=3, loc="upper left", bbox_to_anchor=(0, 1.5))
        panels[-1].set_xlabel("hours from the last charted step")
        more = f"; the first {len(shown)} of {len(names)} series" if len(names) > len(shown) else ""
        figure.suptitle(f"{title}{more}", fontsize=10)
        with atomic_path(path) as temporary, warnings.catch_warnings():
            # Characters that no font of this machine has: a picture shows boxes, an SVG keeps them.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            kind = path.suffix[1:]
            figure.savefig(temporary, format=kind, metadata=METADATA[kind])


def natural_order(name: str) -> list[tuple[bool, int, str]]:
    """What to sort a name by, so that its numbers count as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    # Without zeros in front the longer number is the larger one; int() refuses some thousand digits.
    keys = [(part.isdecimal(), part.lstrip("0") if part.isdecimal() else part) for part in parts]
    return [(is_number, len(text) if is_number else 0, text) for is_number, text in keys]


def _drawable(name: str) -> str:
    """A name with a replacement for control characters and such that no SVG can hold."""
    return "".join(
        "\ufffd" if unicodedata.category(character) in ("Cc", "Cn") and character != "\n" else character
        for character in name
    )


def _further_fonts(text: str) -> list[str]:
    """The installed font that has most of the characters that FONT lacks; none where it lacks none."""
    from matplotlib.font_manager import findfont, fontManager, get_font

    missing = {ord(character) for character in text} - set(get_font(findfont(FONT)).get_charmap())
    if not missing:
        return []
    # The font of last resort has a box for every character.
    fonts = {font.name: font.fname for font in fontManager.ttflist if not font.name.startswith("Last Resort")}
    found = {name: len(missing & set(get_font(file).get_charmap())) for name, file in sorted(fonts.items())}
    best = max(found, key=lambda name: found[name])
    return [best] if found[best] else []


def _draw_series(
    axes: "Axes", context: np.ndarray, quantiles: np.ndarray, levels: Sequence[float], step_hours: float
) -> None:
    past = np.arange(1 - len(context), 1) * step_hours
    future = np.arange(1, quantiles.shape[1] + 1) * step_hours
    axes.plot(past, context, color="0.25", marker="o", markersize=2.5, linewidth=1, label="charted")
    axes.fill_between(
        future,
        quantiles[0],
        quantiles[-1],
        color="tab:blue",
        alpha=0.25,
        linewidth=0,
        label=f"{levels[0]:.0%} to {levels[-1]:.0%} of the forecast",
    )
    middle = int(np.argmin(np.abs(np.asarray(levels) - 0.5)))
    axes.plot(future, quantiles[middle], color="tab:blue", label="median forecast")
    axes.axvline(0, color="0.7", linewidth=0.8)
