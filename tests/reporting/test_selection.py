"""What the report says of those who are not studied."""

from pathlib import Path

import pytest

from tests.reporting.fabricated_study import fabricate_study
from tests.reporting.report_page import page_of, sources
from workflow_scripts.evaluation.summary import read_metrics
from workflow_scripts.reporting.attrition import read_selection
from workflow_scripts.reporting.sections.caveats import caveats
from workflow_scripts.reporting.sections.cohorts import selection_sentence
from workflow_scripts.reporting.study import collect_study
from workflow_scripts.runtime.errors import UserError

HEADER = "rule,stays,patients,deaths,windows,cut_windows\n"
# What is left of the 188 stays of 138 patients, 39 of whose admissions ended in death, that the cohort has.
RULES = """included,188,138,39,,
stay_length,188,138,39,930,120
charted_horizon,181,134,37,905,95
charted_context,180,134,36,900,90
"""


def study_of(folder: Path, dataset: str = "simulated", rules: str = RULES):
    study = fabricate_study(folder, models=(), arms=(), vitals=("heart_rate",), dataset=dataset)
    (study.windows / "explicit" / "heart_rate.attrition.csv").write_text(HEADER + rules)
    return study


def sentence(study) -> str:
    return selection_sentence(collect_study(read_metrics(study.metrics), sources(study)), "explicit")


def test_a_sentence_says_in_numbers_who_is_not_studied_and_how_many_horizons_are_cut(tmp_path):
    """The cohort's own table has 618, 610, 402, 196 and 188 stays with 81, 80, 57, 40 and 39 deaths."""
    assert sentence(study_of(tmp_path)) == (
        "Not studied are stays of patients who are too young or of unknown age (8 of 618, 1 of 81 deaths); "
        "that are too short (208 of 610, 23 of 80 deaths); with too few charted values (8 of 196, 1 of 40 deaths); "
        "without a window of heart rate (8 of 188, 3 of 39 deaths). "
        "Discharge or death cuts the horizon of 10 % of the windows of heart rate."
    )


def test_the_table_of_windows_is_in_the_report(tmp_path):
    page = page_of(study_of(tmp_path))
    assert page.lines("included") == [["included", "188", "138", "39", "–", "–"]]
    assert page.lines("charted horizon") == [["charted horizon", "181", "134", "37", "905", "95"]]
    assert page.lines("charted context") == [["charted context", "180", "134", "36", "900", "90"]]
    assert page.lines("stay length") == [["stay length", "188", "138", "39", "930", "120"]]


def test_of_data_that_are_not_open_no_number_tells_of_fewer_than_eleven_patients(tmp_path):
    study = study_of(tmp_path, dataset="our-hospital")
    assert sentence(study) == (
        "Some rules leave out so few patients that their numbers are only in the tables of attrition."
    )
    page = page_of(study)
    assert page.lines("charted horizon") == page.lines("stay length") == []
    assert "930" not in page.text


def test_of_data_that_are_not_open_large_numbers_are_said(tmp_path):
    study = study_of(tmp_path, dataset="our-hospital", rules="".join(RULES.splitlines(keepends=True)[:2]))
    (study.folder / "cohorts" / "explicit.attrition.csv").write_text(
        "step,stays,admissions,patients,deaths\nall_stays,618,590,400,81\nstay_length,188,183,138,39\n"
    )
    assert sentence(study).startswith(
        "Not studied are stays that are too short (430 of 618, 42 of 81 deaths)."
    )


@pytest.mark.parametrize("text", ["rule,stays\nincluded,3\n", HEADER, HEADER + "included,many,1,1,,\n"])
def test_a_table_of_another_form_is_refused_by_name(tmp_path, text):
    path = tmp_path / "heart_rate.attrition.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"heart_rate\.attrition\.csv[\s\S]*make the windows again"):
        read_selection(path)


def test_a_smoothed_series_is_a_limit_of_the_run_like_a_leaky_split(tmp_path):
    study = fabricate_study(tmp_path, models=(), arms=(), vitals=("heart_rate",))
    rows = read_metrics(study.metrics)

    def limits(**windows: str) -> list[str]:
        return [limit.partition(":")[0] for limit in caveats(
            collect_study(rows, sources(study, settings={"windows": windows}))
        )]  # fmt: skip

    assert "Smoothed series" in limits(smoothing="rolling_mean_3")
    assert "Smoothed series" not in limits(smoothing="none")
    assert "Leaky split" in limits(split="by_window_leaky", smoothing="none")
