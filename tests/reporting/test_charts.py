"""Checks of the figures: valid Vega-Lite, text alternatives, colours to be told apart, and the sums behind them."""

import csv
import io
import re
from itertools import product
from types import SimpleNamespace
from xml.etree import ElementTree

import altair
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.evaluation.summary import TransferRow
from workflow_scripts.reporting.captions import CAPTIONS, caption, category, labels, subcategory
from workflow_scripts.reporting.sections.calibration import densities
from workflow_scripts.reporting.sections.fans import hour_marks
from workflow_scripts.reporting.sections.pareto import not_dominated
from workflow_scripts.reporting.sections.transfer import verdict
from workflow_scripts.reporting.themes import COLOURS, DARK, LIGHT, PRINT, SHAPES, look
from workflow_scripts.reporting.words import number, percent, seconds, signed


def test_every_chart_is_valid_vega_lite(report):
    assert len(report.figures) > 20
    kinds = {figure.kind: figure for figure in report.figures}
    for figure in kinds.values():
        # The schema of Vega-Lite itself, as Altair carries it; raises where a chart does not hold to it.
        altair.Chart.from_dict(figure.spec, validate=True)


def test_every_figure_has_words_a_caption_and_data(report):
    for figure in report.figures:
        assert len(figure.words) > 30
        assert len(caption(figure.kind)) > 30, figure.kind
        rows = list(csv.DictReader(io.StringIO(figure.csv)))
        assert len(rows) == len(figure.rows) > 0
        assert "nan" not in figure.csv.lower().replace("nano", "")


def test_the_names_tell_snakemake_where_a_figure_belongs(report):
    # rules/results.smk reads them with the pattern {part}_{sign}_{figure}.svg.
    for figure in report.figures:
        assert re.fullmatch(r"[a-z0-9-]+_[a-z0-9-]+_[a-z0-9-]+", figure.name)
        # The caption is chosen by the name's last part there, by the kind on the page.
        assert caption(figure.name.rpartition("_")[2]) == caption(figure.kind)
    assert "snakemake.wildcards.figure" in CAPTIONS.read_text()


def test_snakemakes_report_labels_the_figures_as_the_page_does(report, page, tmp_path):
    report.write_figures(tmp_path / "figures")
    headings = set(re.findall(r"<h2[^>]*>(.*?)</h2>", page.html))
    found = {}
    for figure in report.figures:
        part, sign, name = figure.name.split("_")
        wildcards = SimpleNamespace(part=part, sign=sign, figure=name)
        shown = labels(wildcards, SimpleNamespace(figures=tmp_path / "figures"))
        assert shown["section"] in headings
        found[figure.name] = category(wildcards), subcategory(wildcards), shown["figure"]
    expected = "Sepsis (explicit codes)", "Heart rate", "Chronos-T5 nano: error against rank"
    assert found["explicit_heart-rate_error-by-rank-chronos-t5-nano"] == expected
    between = SimpleNamespace(part="all", sign="heart-rate", figure="transfer-chronos-t5-nano-full")
    assert category(between) == "Between cohorts"


def test_a_figures_file_needs_no_style_sheet(report):
    for figure in report.figures:
        root = ElementTree.fromstring(figure.file_svg)
        children = [child.tag.rpartition("}")[2] for child in root][:2]
        assert children == ["title", "desc"]
        assert "var(" not in figure.file_svg


def test_no_text_of_a_figure_is_cut_short(report):
    cut = [figure.name for figure in report.figures if "…" in figure.svg]
    assert not cut


def luminance(colour):
    """Relative luminance of WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_text_and_markers_stand_out(theme):
    for paper in (theme["paper"], theme["page"]):
        # WCAG 2.2: 4.5 for text, 3 for graphics.
        assert all(contrast(theme[name], paper) >= 4.5 for name in ("ink", "muted", "accent", "bad"))
        assert all(contrast(theme[f"series-{number}"], paper) >= 3 for number in range(len(COLOURS)))
    assert contrast(theme["best-ink"], theme["best"]) >= 4.5
    for back in ("warn", "best", "bad-back", "grid"):
        assert contrast(theme["ink"], theme[back]) >= 4.5


def test_models_are_told_apart_by_colour_and_by_marker():
    looks = [look(place) for place in range(len(COLOURS) * len(SHAPES))]
    assert len(set(looks)) == len(looks)
    assert len({shape for _, shape, _ in looks[: len(SHAPES)]}) == len(SHAPES)


points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@given(points)
def test_what_nothing_beats_is_found_as_by_its_definition(found):
    marked = not_dominated(found)
    front = {point for point, mark in zip(found, marked, strict=True) if mark}
    assert front
    for point, mark in zip(found, marked, strict=True):
        better = [
            o for o in found if o[0] <= point[0] and o[1] <= point[1] and (o[0] < point[0] or o[1] < point[1])
        ]
        assert mark == (not better)
    assert all(one == two or (one[0] - two[0]) * (one[1] - two[1]) < 0 for one, two in product(front, front))


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=9, unique=True))
def test_the_histograms_area_is_one_and_a_calibrated_forecasts_is_flat(levels):
    levels = sorted(levels)
    observed = [level**2 for level in levels]
    area = sum((high - low) * density for low, high, density in densities(levels, observed))
    assert area == pytest.approx(1)
    assert all(density == pytest.approx(1) for *_, density in densities(levels, levels))


@given(st.floats(-500, 0), st.floats(0.5, 500))
def test_hours_are_marked_at_round_places_within_the_axis(first, last):
    marks = hour_marks(first, last)
    assert len(marks) <= 12
    assert all(first <= mark <= last for mark in marks)
    assert 0 in marks


def transfer(low, high, **changes):
    values = dict.fromkeys(TransferRow.__dataclass_fields__)
    values |= {"trained_on": "a", "evaluated_on": "b", "above_own_low": low, "above_own_high": high}
    return TransferRow(**values | changes)


def test_a_transfer_is_worse_or_better_only_where_its_interval_says_so():
    assert verdict(transfer(0.1, 0.3)) == "higher than its own"
    assert verdict(transfer(-0.3, -0.1)) == "lower than its own"
    assert verdict(transfer(-0.1, 0.1)) == verdict(transfer(0.0, 0.2)) == "inconclusive"
    assert verdict(transfer(None, None)) == "not compared"
    assert verdict(transfer(0.1, 0.3, trained_on="b")) == "own cohort"


def test_numbers_have_sensible_digits():
    assert [number(value) for value in (None, float("nan"), 0.0, 9.393, -4.5, 1234.5)] == [
        "–",
        "–",
        "0.00",
        "9.39",
        "−4.50",
        "1,234.50",
    ]
    assert number(1e-8) == "1.00 × 10⁻⁸"
    assert number(123456789.0) == "1.23 × 10⁸"
    assert [signed(value) for value in (0.0, 0.001, 0.25, -0.25)] == [
        "0.00",
        "+1.00 × 10⁻³",
        "+0.25",
        "−0.25",
    ]
    assert [percent(share) for share in (0, 0.004, 0.425, 1)] == ["0 %", "< 1 %", "42 %", "100 %"]
    assert [seconds(value) for value in (None, 0.0, 0.0208, 19.0, 90.0, 7300.0)] == [
        "–",
        "0.0 s",
        "20.8 ms",
        "19.0 s",
        "1.5 min",
        "2.0 h",
    ]
