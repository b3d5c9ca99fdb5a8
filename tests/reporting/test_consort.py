"""The flow chart: its numbers, its silence about small groups, and its words for those who cannot see it."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.cohorts.parameters import CohortParameters
from workflow_scripts.reporting.attrition import AttritionStep
from workflow_scripts.reporting.consort import attrition_stages, draw_consort
from workflow_scripts.runtime.errors import UserError

SVG = "{http://www.w3.org/2000/svg}"
STEPS = ["adult", "stay_length", "definition", "charted_values"]


def fabricated(patients_by_step: dict[str | None, int], stays_each: int = 2) -> pd.DataFrame:
    """Stays of as many patients as asked for, all excluded at one step, or included (None)."""
    rows = []
    for step, patients in patients_by_step.items():
        for patient in range(len(rows), len(rows) + patients * stays_each):
            subject = 1000 * list(patients_by_step).index(step) + patient // stays_each
            rows.append({"subject_id": subject, "hadm_id": patient, "excluded_at": step})
    return pd.DataFrame(rows).astype({"excluded_at": object})


def attrition(stays: pd.DataFrame, steps: list[str]) -> list[AttritionStep]:
    left = stays
    rows = [AttritionStep("all_stays", len(left), left["hadm_id"].nunique(), left["subject_id"].nunique(), 0)]
    for step in steps:
        left = left[left["excluded_at"] != step]
        rows.append(
            AttritionStep(step, len(left), left["hadm_id"].nunique(), left["subject_id"].nunique(), 0)
        )
    return rows


def draw(stays: pd.DataFrame, steps: list[str] = STEPS) -> str:
    parameters = CohortParameters(minimum_age_years=16, minimum_stay_hours=30, minimum_charted_values=5)
    stages = attrition_stages(stays, attrition(stays, steps), parameters, ["heart_rate"])
    return draw_consort("sepsis", *stages)


def boxes(svg: str) -> list[str]:
    """The text of each box, in the order of the drawing: exclusion, what is left, exclusion, …"""
    texts: list[str] = []
    for element in ElementTree.fromstring(svg):
        if element.tag == f"{SVG}rect" and element.get("class") != "page":
            texts.append("")
        elif element.tag == f"{SVG}text":
            texts[-1] = f"{texts[-1]} {element.text}".strip()
    return texts


def test_the_chart_has_the_numbers_and_the_reason_of_each_step() -> None:
    stays = fabricated({"adult": 11, "stay_length": 20, "definition": 30, "charted_values": 15, None: 40})
    assert boxes(draw(stays)) == [
        "All ICU stays of the data set 232 ICU stays 232 admissions, 116 patients",
        "Excluded: 22 stays of 11 patients younger than 16 years",
        "Left 210 ICU stays 210 admissions, 105 patients",
        "Excluded: 40 stays of 20 patients ICU stay shorter than 30 hours",
        "Left 170 ICU stays 170 admissions, 85 patients",
        "Excluded: 60 stays of 30 patients does not meet the definition",
        "Left 110 ICU stays 110 admissions, 55 patients",
        "Excluded: 30 stays of 15 patients fewer than 5 charted values of heart rate",
        "Included 80 ICU stays 80 admissions, 40 patients",
    ]


def test_a_step_that_excludes_nobody_says_so() -> None:
    assert "Excluded: none younger than 16 years" in boxes(draw(fabricated({"definition": 11, None: 11})))


def test_small_exclusions_are_shown_together_with_what_follows() -> None:
    stays = fabricated({"adult": 3, "stay_length": 20, "definition": 30, "charted_values": 2, None: 40})
    assert boxes(draw(stays)) == [
        "All ICU stays of the data set 190 ICU stays 190 admissions, 95 patients",
        "Excluded: 46 stays of 23 patients – younger than 16 years – ICU stay shorter than 30 hours",
        "Left 144 ICU stays 144 admissions, 72 patients",
        "Excluded: 64 stays of 32 patients – does not meet the definition "
        "– fewer than 5 charted values of heart rate",
        "Included 80 ICU stays 80 admissions, 40 patients",
    ]


def test_where_few_are_left_no_number_tells_how_many() -> None:
    shown = boxes(draw(fabricated({"definition": 50, "charted_values": 12, None: 3})))
    assert shown[-2].startswith("Excluded: all others")
    assert shown[-1] == "Included <11 patients"


def test_where_few_are_excluded_altogether_no_number_tells_how_many() -> None:
    shown = boxes(draw(fabricated({"adult": 3, "definition": 2, None: 40})))
    assert shown[1].startswith("Excluded: <11 patients")
    assert shown[2:] == ["Included all but <11 patients"]


@settings(max_examples=80)
@given(st.lists(st.integers(0, 30), min_size=5, max_size=5).filter(any))
def test_no_number_and_no_difference_of_numbers_is_a_small_group(sizes: list[int]) -> None:
    stays = fabricated(dict(zip([*STEPS, None], sizes, strict=True)), stays_each=1)
    svg = draw(stays)
    # One stay for each patient here, so every number that is shown counts patients too.
    left = [int(n) for text in boxes(svg) for n in re.findall(r"([\d,]+) ICU stays", text)]
    gone = [int(n) for text in boxes(svg) for n in re.findall(r"Excluded: (\d+) stays", text)]
    assert not [n for n in left[1:] + gone if 0 < n < 11]
    assert not [a - b for a, b in pairwise(left) if 0 < a - b < 11]


def test_the_picture_speaks_and_follows_light_and_dark() -> None:
    svg = draw(fabricated({"definition": 50, None: 30}))
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    labels = (root.get("aria-labelledby") or "").split()
    words = [element.text or "" for element in root if element.get("id") in labels]
    assert words[0] == "Cohort sepsis"
    assert "Excluded: 100 stays of 50 patients does not meet the definition." in words[1]
    assert "Included 60 ICU stays 60 admissions, 30 patients." in words[1]
    assert "prefers-color-scheme: dark" in svg
    colours = {element.get("fill") or element.get("stroke") for element in root.iter()}
    assert colours == {None}, "every colour comes from the style sheet's light and dark variables"


def test_every_box_lies_inside_the_drawing_and_none_overlap() -> None:
    root = ElementTree.fromstring(draw(fabricated({"adult": 20, "definition": 50, None: 30})))
    _, _, width, height = map(int, (root.get("viewBox") or "").split())
    rectangles = [
        tuple(int(rect.get(name) or 0) for name in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
        if rect.get("class") != "page"
    ]
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in rectangles)
    downwards = [y for _, y, _, _ in rectangles]
    ends = [y + h for _, y, _, h in rectangles]
    assert all(end <= y for end, y in zip(ends[:-1], downwards[1:], strict=True))


def test_a_name_with_special_characters_is_text() -> None:
    stays = fabricated({"definition": 50, None: 30})
    stages = attrition_stages(stays, attrition(stays, ["definition"]), CohortParameters(), ["heart_rate"])
    assert ElementTree.fromstring(draw_consort("a<b>&c", *stages))[0].text == "Cohort a<b>&c"


def test_tables_that_do_not_belong_together_are_refused() -> None:
    stays = fabricated({"definition": 50, None: 30})
    other = attrition(stays.iloc[5:], ["definition"])
    with pytest.raises(UserError, match="cohort table and its own attrition table"):
        attrition_stages(stays.iloc[:-5], other, CohortParameters(), ["heart_rate"])
