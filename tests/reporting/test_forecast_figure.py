"""The figure of a user's own series: any name, in the order in which one counts, with the unit."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager

from workflow_scripts.reporting.forecast_figure import draw_forecasts

LEVELS = [0.1, 0.5, 0.9]


def draw(path: Path, names: list[str]) -> Path:
    context = np.arange(len(names) * 24, dtype=float).reshape(-1, 24)
    draw_forecasts(
        path, names, context, np.full((len(names), 3, 4), 80.0), LEVELS, 3600, "title", "heart rate (bpm)"
    )
    return path


def texts(path: Path) -> list[str]:
    return [
        element.text or "" for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_names_stay_text_as_they_are(tmp_path: Path) -> None:
    names = ["bed $1 and $2", r"$\frac$", "病床 2", "<b>&amp;", "été"]
    shown = texts(draw(tmp_path / "figure.svg", names))
    assert set(names) <= set(shown)
    assert shown.count("heart rate (bpm)") == len(names)


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_characters_that_no_font_has_are_no_failure_and_no_noise(
    suffix: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    assert draw(tmp_path / f"figure{suffix}", [r"$\frac$", "病床"]).stat().st_size > 1000
    assert not recwarn.list


def test_a_font_that_has_the_characters_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source: a font that is made here, with one character that the ordinary one lacks; a PDF names its fonts."""
    pen = TTGlyphPen(None)
    for point, move in ((0, 0), pen.moveTo), ((500, 0), pen.lineTo), ((500, 500), pen.lineTo):
        move(point)
    pen.closePath()
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder([".notdef", "bed"])
    made.setupCharacterMap({ord("病"): "bed"})
    made.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "bed": pen.glyph()})
    made.setupHorizontalMetrics({".notdef": (600, 0), "bed": (600, 0)})
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": "Ward", "styleName": "Regular", "psName": "Ward-Regular"})
    made.setupOS2()
    made.setupPost()
    made.save(tmp_path / "ward.ttf")
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    fontManager.addfont(tmp_path / "ward.ttf")
    assert b"Ward" in draw(tmp_path / "figure.pdf", ["病"]).read_bytes()
    assert b"Ward" not in draw(tmp_path / "plain.pdf", ["bed"]).read_bytes()


def test_beds_are_in_the_order_in_which_one_counts_and_the_first_six_are_shown(tmp_path: Path) -> None:
    """Source: the order that the issue names."""
    names = [f"bed{number}" for number in (0, 1, 10, 11, 2, 3, 4, 5)]
    shown = [text for text in texts(draw(tmp_path / "figure.svg", names)) if text.startswith("bed")]
    assert shown == [f"bed{number}" for number in range(6)]
