"""What every figure shares: one Altair chart that becomes a live chart on the page, an SVG, and a CSV.

Colours are variables of the page's style sheet, so one chart reads in light, in dark and on paper.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from workflow_scripts.reporting.themes import LIGHT, look

if TYPE_CHECKING:
    import altair as alt

WIDTH = 400
"""Pixels of a figure: nearly what a phone shows, so that its text stays readable there."""

MSE_AXIS = "MSE × 10⁻⁴"

LOGARITHMIC_FROM = 30
"""Errors whose largest is so many times the smallest are drawn on a logarithmic axis."""

WIDEST = 1.25
"""Widths of a reader's widest usual fonts (DejaVu Sans, Verdana) over those that drawings are measured in."""

LONGEST_TITLE = 46
"""Letters of a title in one line."""

LETTER = 6.8
"""Pixels of a letter of 12 pixels in such a font."""


@dataclass(frozen=True)
class Figure:
    """A figure. kind: what it shows, one of captions/figures.rst; words: the same in a sentence; rows: its data.

    subtitle: of which cohort and vital sign it is.
    """

    name: str
    kind: str
    title: str
    subtitle: str
    words: str
    spec: dict[str, Any]
    rows: Sequence[Mapping[str, Any]]

    @cached_property
    def svg(self) -> str:
        """The figure as SVG with the page's colour variables, with room for the widest fonts."""
        return render_svg(json.dumps(_times_fonts(self.spec, WIDEST)))

    @property
    def file_svg(self) -> str:
        """The figure as an SVG file of its own, in light colours, with its title and words."""
        svg = re.sub(r"var\(--([a-z0-9-]+)\)", lambda match: LIGHT[match[1]], self.svg)
        words = f"<title>{_escaped(self.title)}</title><desc>{_escaped(self.words)}</desc>"
        return svg.replace(">", f">{words}", 1) + "\n"

    @property
    def csv(self) -> str:
        """The figure's data."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]) if self.rows else ["nothing"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _plain(value) for name, value in row.items()} for row in self.rows)
        return text.getvalue()


def make_figure(
    name: str,
    kind: str,
    title: str,
    words: str,
    chart: "alt.TopLevelMixin",
    rows: Sequence[Mapping[str, Any]],
    subtitle: str,
    height: int = 270,
    more: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    columns: int = 2,
) -> Figure:
    """Give a chart its data, size, title and looks.

    name: the part's key and the figure's own, of [a-z0-9-], joined by _. rows: the data, and what the CSV holds.
    more: what the chart draws instead of them or besides, by name. columns: of the legend.
    """
    import altair as alt

    spec = chart.to_dict(validate=False)
    spec.pop("$schema")
    # Plain values: Altair copies the whole chart at each of its own steps.
    heading = wrap(title, LONGEST_TITLE)
    spec |= {"title": {"text": heading, "subtitle": subtitle}, "config": _looks(columns)}
    if not isinstance(chart, alt.FacetChart):  # Its panels have sizes of their own.
        full = height + 16 * (len(heading) - 1)
        spec |= {"width": WIDTH, "height": full, "autosize": {"type": "fit", "contains": "padding"}}
    spec["padding"] = 2
    spec["datasets"] = {
        key: [{column: _finite(value) for column, value in row.items()} for row in table]
        for key, table in ({"rows": rows} | dict(more or {})).items()
    }
    return Figure(name, kind, f"{title}, {subtitle}", subtitle, words, spec, rows)


def _looks(columns: int) -> dict[str, Any]:
    """Vega-Lite's config for every figure. columns: of the legend."""
    ink, muted = {"labelColor": "var(--ink)"}, {"titleColor": "var(--muted)"}
    return {
        "background": "transparent",
        "font": "system-ui, sans-serif",
        "aria": False,
        "lineBreak": "\n",
        "view": {"stroke": None},
        "axis": ink
        | muted
        | {
            "gridColor": "var(--grid)",
            "domainColor": "var(--line)",
            "tickColor": "var(--line)",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "labelLimit": 190,
            "labelPadding": 4,
            "titleLimit": 380,
        },
        "legend": ink
        | muted
        | {
            "labelFontSize": 12,
            "orient": "top",
            "direction": "horizontal",
            "columns": columns,
            "title": None,
            "labelLimit": _room(columns),
            "symbolSize": 80,
            "symbolOpacity": 1,
            "rowPadding": 3,
        },
        "header": ink | {"labelFontSize": 12, "labelPadding": 4},
        "title": {
            "color": "var(--ink)",
            "subtitleColor": "var(--muted)",
            "fontSize": 13.5,
            "subtitleFontSize": 12,
            "anchor": "start",
            "limit": WIDTH - 4,
            "offset": 8,
        },
    }


def _room(columns: int) -> int:
    """Pixels for a legend's label, beside its symbol."""
    return WIDTH // columns - 30


def legend_columns(names: Iterable[str], labels: Iterable[str]) -> int:
    """Two columns where names of a legend fit beside labels of the other axis, else one."""
    longest = max((len(name) for name in names), default=0)
    beside = min(190, LETTER * max((len(label) for label in labels), default=0))
    return 2 if 2 * (26 + LETTER * longest) + beside + 30 <= WIDTH else 1


def data(name: str = "rows") -> "alt.NamedData":
    """The rows of this name, which make_figure adds: so that layers share them."""
    import altair as alt

    return alt.NamedData(name)


def any_known(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a column has a value: an axis over nothing has no ends."""
    return any(_finite(row[name]) is not None for row in rows)


def pick(field: str) -> tuple["alt.Parameter", Any]:
    """A parameter and an opacity by which a click on the legend leaves one name and pales the others."""
    import altair as alt

    chosen = alt.selection_point(name="pick", fields=[field], bind="legend")
    return chosen, alt.when(chosen).then(alt.value(1)).otherwise(alt.value(0.12))


def model_scales(indices: Mapping[str, int | None]) -> tuple["alt.Scale", "alt.Scale"]:
    """Scales of colour and shape: name -> the model's index; None: a baseline."""
    import altair as alt

    looks = [look(index) for index in indices.values()]
    names = list(indices)
    return (
        alt.Scale(domain=names, range=[colour for colour, _, _ in looks]),
        alt.Scale(domain=names, range=[shape for _, shape, _ in looks]),
    )


def times(value: float | None, factor: float) -> float | None:
    """A value in another unit; None stays None."""
    return None if value is None else value * factor


def identity(row: Any) -> dict[str, Any]:
    """The columns that say of which arm a row is."""
    return {name: getattr(row, name) for name in ("cohort", "vital", "model", "arm")}


def error_tips(column: str, axis: str) -> list["alt.Tooltip"]:
    """Tooltips of an error with its interval."""
    import altair as alt

    columns = ((column, axis), ("low", "from"), ("high", "to"))
    return [alt.Tooltip(f"{name}:Q", title=title, format=".2f") for name, title in columns]


def interval_bars(
    base: "alt.Chart",
    rows: Sequence[Mapping[str, Any]],
    along: str,
    marks: Mapping[str, Any],
    **encoding: Any,
) -> list["alt.Chart"]:
    """A layer of intervals from `low` to `high` along the axis x or y; none where no row has an interval.

    marks: how the rules look; encoding: the other axis.
    """
    import altair as alt

    if not any_known(rows, "low"):
        return []
    ends = {"x": {"x": alt.X("low:Q"), "x2": "high:Q"}, "y": {"y": alt.Y("low:Q"), "y2": "high:Q"}}[along]
    return [base.transform_filter("isValid(datum.low)").mark_rule(**marks).encode(**encoding, **ends)]


def slug(*names: str) -> str:
    """Names as a part of a figure's name: `moirai-1-1-r-small`."""
    return "-".join(names).lower().replace(".", "-").replace("_", "-").replace(" ", "-")


def error_scale(values: Sequence[float | None]) -> "alt.Scale":
    """A scale for errors: from what there is, logarithmic where they differ by much."""
    import altair as alt

    known = [value for value in values if value is not None and math.isfinite(value)]
    positive = [value for value in known if value > 0]
    if positive and len(positive) == len(known) and max(positive) / min(positive) > LOGARITHMIC_FROM:
        return alt.Scale(type="log", nice=True)
    return alt.Scale(zero=False, nice=True)


def scale_of(rows: Sequence[Mapping[str, Any]], *columns: str) -> "alt.Scale":
    """The scale of the errors in some columns."""
    return error_scale([row[column] for row in rows for column in columns])


def error_axis(scale: "alt.Scale", title: str) -> "alt.Axis":
    """The axis of errors: few marks, and powers of ten where it is logarithmic."""
    import altair as alt

    if scale.to_dict().get("type") == "log":
        return alt.Axis(title=title, tickCount=5, format=".0e")
    return alt.Axis(title=title, tickCount=5)


def _times_fonts(part: Any, factor: float) -> Any:
    """A chart with all its texts, and what limits their lengths, larger by a factor."""
    if isinstance(part, dict):
        return {
            name: value * factor
            if name.lower().endswith(("fontsize", "limit")) and isinstance(value, (int, float))
            else _times_fonts(value, factor)
            for name, value in part.items()
        }
    return [_times_fonts(one, factor) for one in part] if isinstance(part, list) else part


@lru_cache(maxsize=512)
def render_svg(spec: str) -> str:
    """A Vega-Lite chart (JSON) as SVG."""
    import vl_convert

    return _slim(vl_convert.vegalite_to_svg(spec))


def _slim(svg: str) -> str:
    """What an image in a page needs: texts in their own size, no roles, and a tenth of a pixel is fine enough."""
    svg = re.sub(r' (?:aria-[a-z]+|role|pointer-events)="[^"]*"', "", svg)
    svg = re.sub(r'font-size="([\d.]+)px"', lambda match: f'font-size="{float(match[1]) / WIDEST:g}px"', svg)
    svg = re.sub(r"\d+\.\d\d+", lambda match: f"{float(match[0]):.1f}", svg)
    return svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1" class="marks"', "", 1)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    value = _finite(value)
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
