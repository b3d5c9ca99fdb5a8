"""A figure of a user's own series and their forecasts, for the forecast program."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.runtime.files import MADE_BY, atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 6
"""Panels in the figure, the first series of the file; more would be too small to read."""

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
) -> None:
    """Write an SVG, PNG or PDF: what was charted, the median forecast and the range between outer quantiles.

    context: [series, context]; quantiles: [series, levels, horizon]; the same unit.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown = min(len(names), SHOWN)
    with rc_context({"svg.hashsalt": "vitalora", "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 0.8 + 1.9 * shown), layout="constrained")
        panels = figure.subplots(shown, 1, sharex=True, squeeze=False)[:, 0]
        for number, axes in enumerate(panels):
            _draw_series(axes, context[number], quantiles[number], levels, step_seconds / 3600)
            axes.set_title(names[number], loc="left", fontsize=9)
        panels[0].legend(frameon=False, fontsize=8, ncols=3, loc="upper left", bbox_to_anchor=(0, 1.5))
        panels[-1].set_xlabel("hours from the last charted step")
        more = f"; the first {shown} of {len(names)} series" if len(names) > shown else ""
        figure.suptitle(f"{title}{more}", fontsize=10)
        with atomic_path(path) as temporary:
            kind = path.suffix[1:]
            figure.savefig(temporary, format=kind, metadata=METADATA[kind])


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
