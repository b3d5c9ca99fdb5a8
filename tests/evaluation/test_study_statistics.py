"""Checks of the tables of intervals, comparisons and rank thresholds, on studies written to disk."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.study_records import run_record, write_record
from tests.reporting.fabricated_study import LEVELS, MODELS, STAY_ID, SUBJECT_ID, fabricate_study
from workflow_scripts.evaluation.aggregation import collect_rows, summarise_arms
from workflow_scripts.evaluation.forecasts import read_forecasts
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.evaluation.missing_runs import missing_row
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import ERRORS, RESAMPLED
from workflow_scripts.evaluation.planning import planned_comparisons
from workflow_scripts.evaluation.study_statistics import study_statistics
from workflow_scripts.evaluation.summary import (
    BreakdownRow,
    CalibrationRow,
    ComparisonRow,
    FindingRow,
    IntervalRow,
    RankRow,
    TransferRow,
    read_rows,
    rows_text,
)
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.reading import read_windows

MOIRAI = "moirai-nano"


def run_folder(study, row):
    """The folder of a run of the fabricated study."""
    return study.runs.joinpath(row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}")


def statistics(study, **parameters):
    """The statistics of a fabricated study, from few resamples."""
    paths = sorted(study.runs.rglob("run.json"))
    rows = collect_rows(paths)
    folders = {row: run_folder(study, row) for row in rows}
    return study_statistics(
        rows, folders, study.windows, EvaluationParameters(resamples=400).model_copy(update=parameters)
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return fabricate_study(tmp_path_factory.mktemp("study"), models=(MOIRAI,), seeds=(0, 1, 2))


@pytest.fixture(scope="module")
def found(study):
    return statistics(study)


def only(rows, **values):
    """The rows with these values."""
    return [row for row in rows if all(getattr(row, name) == value for name, value in values.items())]


def windows_mse(study, arm, seed, model=MOIRAI):
    """Each test window's MSE, its patient, scored anew."""
    windows = read_windows(study.windows / "explicit/heart_rate.parquet").select("test")
    path = study.runs / "explicit/heart_rate" / model / arm / f"seed{seed}" / "forecasts.parquet"
    _, quantiles, _ = read_forecasts(path)
    return score(windows.target, quantiles, LEVELS, 0.0, 300.0).per_window["mse"], windows.subject_id


def test_every_arm_has_a_row_for_each_metric_with_the_value_of_the_summary(study, found):
    summary = pd.read_csv(study.metrics).groupby(["vital", "model", "arm"])[list(RESAMPLED)].mean()
    assert len(found.intervals) == summary.size
    for row in found.intervals:
        assert row.value == pytest.approx(summary.loc[(row.vital, row.model, row.arm), row.metric], rel=1e-5)
        assert row.low <= row.value <= row.high
        assert (row.low < row.high) == (row.value > 0)
        assert (row.patients, row.windows, row.reason) == (20, 60, "")


def test_a_difference_is_the_mean_over_seeds_of_the_difference_on_each_window(study, found):
    (row,) = only(found.comparisons, vital="heart_rate", metric="mse", arm="lora-r8", against_arm="zero-shot")
    table = pd.DataFrame(
        {
            (arm, seed): windows_mse(study, arm, seed)[0]
            for arm in ("lora-r8", "zero-shot")
            for seed in (0, 1, 2)
        }
    )
    arms = table.T.groupby(level=0).mean().T
    assert row.difference == pytest.approx((arms["lora-r8"] - arms["zero-shot"]).mean(), rel=1e-9)
    by_patient = arms.groupby(windows_mse(study, "full", 0)[1]).mean()
    assert row.win_rate == (by_patient["lora-r8"] < by_patient["zero-shot"]).mean()
    assert (row.tie_rate, row.seeds, row.patients) == (0.0, 3, 20)
    assert row.low < row.difference < row.high


def test_the_plan_of_comparisons_is_that_of_the_documentation(tmp_path):
    arms = ("zero-shot", "full", "lora-r1", "lora-r2")
    records = [run_record(model=name, arm="baseline") for name in ("persistence", "mean-of-context")]
    records += [run_record(model=model, arm=arm) for model in MODELS[:2] for arm in arms]
    records[4]["validation_metrics"]["wql"] = (
        0.03  # lora-r1 of the first model; of the second all are the same
    )
    records += [
        run_record(model="n-hits-hr", arm=arm, training=records[3]["training"])
        for arm in ("trained", "trained-dilate")
    ]
    rows = collect_rows([write_record(tmp_path, record) for record in records])
    planned = [
        (one.first.model, one.first.arm, other.first.model, other.first.arm)
        for one, other in planned_comparisons(summarise_arms(rows))
    ]
    first, second = MODELS[:2]
    assert planned == [
        (first, "full", first, "zero-shot"),
        (first, "lora-r1", first, "zero-shot"),
        (first, "lora-r2", first, "zero-shot"),
        (first, "lora-r1", first, "full"),
        (first, "lora-r2", first, "full"),
        (first, "lora-r1", "persistence", "baseline"),
        (first, "lora-r1", "mean-of-context", "baseline"),
        (first, "lora-r1", "n-hits-hr", "trained"),
        (first, "lora-r1", "n-hits-hr", "trained-dilate"),
        (second, "full", second, "zero-shot"),
        (second, "lora-r1", second, "zero-shot"),
        (second, "lora-r2", second, "zero-shot"),
        (second, "lora-r1", second, "full"),
        (second, "lora-r2", second, "full"),
        (second, "zero-shot", "persistence", "baseline"),
        (second, "zero-shot", "mean-of-context", "baseline"),
        (second, "zero-shot", "n-hits-hr", "trained"),
        (second, "zero-shot", "n-hits-hr", "trained-dilate"),
    ]


def test_every_arm_of_a_multivariate_variant_is_compared_with_the_same_arm_on_one_vital_sign(tmp_path):
    records = [run_record(model=MOIRAI, arm=arm) for arm in ("zero-shot", "lora-r2")]
    records += [
        run_record(model=f"{MOIRAI}-multivariate", arm=arm) for arm in ("zero-shot", "lora-r2", "dora-r2")
    ]
    rows = collect_rows([write_record(tmp_path, record) for record in records])
    planned = planned_comparisons(summarise_arms(rows))
    assert [
        (one.first.arm, other.first.arm) for one, other in planned if one.first.model != other.first.model
    ] == [("zero-shot", "zero-shot"), ("lora-r2", "lora-r2")]
    assert all(other.first.model == MOIRAI for _, other in planned[-2:])


def test_each_cohort_vital_sign_and_metric_is_a_family_of_its_own(found):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    families = {(row.vital, row.metric) for row in found.comparisons}
    assert len(families) == 2 * len(ERRORS)
    for vital, metric in families:
        family = only(found.comparisons, vital=vital, metric=metric)
        assert {row.comparisons for row in family} == {len(family)} == {11}
        expected = multitest.multipletests([row.p_value for row in family], method="holm")[1]
        assert [row.p_holm for row in family] == pytest.approx(expected.tolist())


def test_distances_from_the_best_arm_are_paired_differences(found):
    rows = only(found.intervals, vital="heart_rate", metric="mse")
    best = min(rows, key=lambda row: row.value)
    assert best.above_best is None
    others = [row for row in rows if row is not best]
    assert all(row.above_best == pytest.approx(row.value - best.value) for row in others)
    assert all(row.above_best_low <= row.above_best <= row.above_best_high for row in others)
    assert only(found.intervals, metric="coverage_80")[0].above_best is None


def test_the_same_seed_gives_the_same_tables_and_another_one_does_not(study, found):
    again, other = statistics(study), statistics(study, seed=1)
    assert again == found
    assert [row.value for row in other.intervals] == [row.value for row in found.intervals]
    assert [row.low for row in other.intervals] != [row.low for row in found.intervals]


def test_too_few_patients_give_the_reason_and_no_interval(tmp_path):
    few = statistics(
        fabricate_study(tmp_path, models=(MOIRAI,), vitals=("heart_rate",), test_windows=27)
    )  # nine patients
    reason = "9 test patients: fewer than 10"
    for row in few.intervals:
        assert (row.low, row.high, row.above_best, row.reason) == (None, None, None, reason)
        assert row.value is not None
    for row in few.comparisons:
        numbers = (row.low, row.high, row.p_value, row.p_holm, row.win_rate, row.tie_rate)
        assert (numbers, row.reason) == ((None,) * 6, reason)
        assert row.difference is not None
    assert {(row.share, row.reason) for row in few.rank_threshold} == {(None, reason)}
    assert sum(row.threshold for row in few.rank_threshold) == len(ERRORS)


def test_a_failed_arm_is_shown_with_its_reason_and_counts_in_its_family(tmp_path):
    study = fabricate_study(tmp_path, models=(MOIRAI,), vitals=("heart_rate",), failed=[(MOIRAI, "lora-r2")])
    found, reason = statistics(study), "forecast not finite in 3 of 120 test windows"
    for row in only(found.intervals, arm="lora-r2"):
        assert (row.value, row.low, row.reason) == (None, None, reason)
    against = only(found.comparisons, arm="lora-r2")
    assert len(against) == 2 * len(ERRORS)
    assert {(row.difference, row.p_value, row.p_holm, row.reason) for row in against} == {
        (None, None, None, reason)
    }
    assert {row.comparisons for row in found.comparisons} == {11}
    # Which rank is good enough is open where one of them failed.
    assert {row.threshold for row in found.rank_threshold} == {None}
    assert all(reason in row.reason for row in found.rank_threshold)
    assert only(found.rank_threshold, metric="mse", rank=4)[0].value is not None


def test_a_run_that_is_missing_is_a_row_with_its_reason_and_a_part_without_any_run_is_left_out(tmp_path):
    """An unfinished study: lora-r2 of heart rate did not finish, and nothing of blood pressure did."""
    study = fabricate_study(tmp_path, models=(MOIRAI,))
    folders = {row: run_folder(study, row) for row in collect_rows(sorted(study.runs.rglob("run.json")))}
    complete = study_statistics(list(folders), folders, study.windows, EvaluationParameters(resamples=400))
    rows, paths = [], {}
    for row, folder in folders.items():
        lost = row.vital != "heart_rate" or row.arm == "lora-r2"
        kept = missing_row(folder / "run.json", [], []) if lost else row
        rows.append(kept)
        paths[kept] = folder
        if lost:
            (folder / "forecasts.parquet").unlink()
    (study.windows / "explicit" / "mean_blood_pressure.parquet").unlink()
    found = study_statistics(rows, paths, study.windows, EvaluationParameters(resamples=400))
    assert {row.vital for row in [*found.intervals, *found.comparisons, *found.findings]} == {"heart_rate"}
    reason = "not finished: the run has no record and its log names no error"
    own = only(found.intervals, arm="lora-r2")
    assert len(own) == len(RESAMPLED)
    assert {(row.value, row.low, row.patients, row.reason) for row in own} == {(None, None, 20, reason)}
    others = [row for row in found.intervals if row.arm != "lora-r2"]
    expected = [row for row in only(complete.intervals, vital="heart_rate") if row.arm != "lora-r2"]
    assert [(row.value, row.low, row.high) for row in others] == [
        (row.value, row.low, row.high) for row in expected
    ]
    assert {row.observed for row in only(found.calibration, arm="lora-r2")} == {None}
    assert [row.level for row in only(found.calibration, arm="lora-r2")] == [0.1, 0.5, 0.9]


def test_an_undefined_metric_leaves_the_others_alone(tmp_path):
    study = fabricate_study(tmp_path, models=(MOIRAI,), vitals=("heart_rate",), zero_target=True)
    found = statistics(study)
    for row in only(found.intervals, metric="mape"):
        assert (row.value, row.low) == (None, None)
        assert row.reason == "mape is undefined: a zero in the denominator"
    assert all(row.p_holm is None for row in only(found.comparisons, metric="mape"))
    assert all(row.low is not None for row in only(found.intervals, metric="mse"))


def test_arms_with_the_same_forecasts_for_each_seed_are_equal_and_never_different(tmp_path):
    """Seeds differ from each other, so that this holds only where both arms see the same draws of them."""
    study = fabricate_study(tmp_path, models=(MOIRAI,), vitals=("heart_rate",), seeds=(0, 1, 2))
    folder = study.runs / "explicit/heart_rate" / MOIRAI
    for seed in ("seed0", "seed1", "seed2"):
        adapted, plain = folder / "lora-r1" / seed, folder / "zero-shot" / seed
        (adapted / "forecasts.parquet").write_bytes((plain / "forecasts.parquet").read_bytes())
        record = json.loads((adapted / "run.json").read_text())
        record["metrics"] = json.loads((plain / "run.json").read_text())["metrics"]
        (adapted / "run.json").write_text(json.dumps(record))
    rows = only(statistics(study).comparisons, arm="lora-r1", against_arm="zero-shot")
    assert len(rows) == len(ERRORS)
    for row in rows:
        numbers = (row.difference, row.low, row.high, row.p_value, row.win_rate, row.tie_rate)
        assert numbers == (0.0, 0.0, 0.0, 1.0, 0.0, 1.0)


def test_the_rank_threshold_follows_the_errors_of_the_table(study, found):
    summary = pd.read_csv(study.metrics).groupby(["vital", "model", "arm"])["mse"].mean()
    for vital in ("heart_rate", "mean_blood_pressure"):
        rows = only(found.rank_threshold, vital=vital, metric="mse")
        assert [row.rank for row in rows] == [1, 2, 4, 8]
        errors = [summary.loc[(vital, MOIRAI, f"lora-r{row.rank}")] for row in rows]
        good = [error <= 1.01 * min(errors) for error in errors]
        assert [row.good_enough for row in rows] == good
        assert [row.threshold for row in rows] == [place == good.index(True) for place in range(4)]
        assert sum(row.share for row in rows) == pytest.approx(1.0)


def test_no_rank_is_good_enough_where_none_is_better_than_zero_shot(tmp_path):
    """Every rank has the very forecasts of zero-shot, as where validation keeps step 0."""
    study = fabricate_study(tmp_path, models=(MOIRAI,), vitals=("heart_rate",))
    folder = study.runs / "explicit/heart_rate" / MOIRAI
    for rank in (1, 2, 4, 8):
        for name in ("forecasts.parquet", "run.json"):
            plain, adapted = folder / "zero-shot/seed0" / name, folder / f"lora-r{rank}/seed0" / name
            if name == "run.json":
                record = json.loads(adapted.read_text())
                adapted.write_text(json.dumps(record | {"metrics": json.loads(plain.read_text())["metrics"]}))
            else:
                adapted.write_bytes(plain.read_bytes())
    rows = statistics(study).rank_threshold
    assert len(rows) == 4 * len(ERRORS)
    for row in rows:
        assert (row.good_enough, row.threshold, row.share) == (None, None, None)
        assert row.reason == "no rank is better than zero-shot on these patients"
        assert row.value is not None


def test_forecasts_that_do_not_give_the_errors_of_the_record_are_refused(tmp_path):
    study = fabricate_study(tmp_path, models=(MOIRAI,), arms=("full",), vitals=("heart_rate",))
    path = study.runs / "explicit/heart_rate" / MOIRAI / "full/seed0/run.json"
    record = json.loads(path.read_text())
    record["metrics"]["mae"] *= 1.001
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"full/seed0/forecasts\.parquet\s+found: +forecasts whose mae"):
        statistics(study)


def test_the_step_writes_tables_that_read_back_and_name_no_patient(study, found, tmp_path):
    settings = tmp_path / "settings.json"
    runs = [str(path) for path in sorted(study.runs.rglob("run.json"))]
    settings.write_text(
        json.dumps({"code": "x", "parameters": {"runs": runs, "evaluation": {"resamples": 400}}})
    )
    expected = {
        "intervals": (IntervalRow, found.intervals),
        "comparisons": (ComparisonRow, found.comparisons),
        "rank_threshold": (RankRow, found.rank_threshold),
        "breakdown": (BreakdownRow, found.breakdown),
        "calibration": (CalibrationRow, found.calibration),
        "findings": (FindingRow, found.findings),
        "transfer": (TransferRow, []),
    }
    command = [sys.executable, "-X", "importtime", "-m", "workflow_scripts.steps.aggregate_metrics"]
    command += ["--settings", settings, "--windows", study.windows, "--summary", tmp_path]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert "torch" not in result.stderr
    for name, (kind, rows) in expected.items():
        path = tmp_path / f"{name}.csv"
        text = path.read_text()
        assert text == rows_text(kind, rows)
        back = read_rows(path, kind)
        assert rows_text(kind, back) == text
        cells = {cell for row in csv.reader(text.splitlines()) for cell in row}
        for number in range(40):
            assert str(SUBJECT_ID + number) not in cells
            assert str(STAY_ID + number) not in cells
    assert np.isfinite([row.low for row in read_rows(tmp_path / "intervals.csv", IntervalRow)]).all()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("intervals", IntervalRow),
        ("comparisons", ComparisonRow),
        ("rank_threshold", RankRow),
        ("breakdown", BreakdownRow),
        ("calibration", CalibrationRow),
        ("transfer", TransferRow),
        ("findings", FindingRow),
    ],
)
def test_the_documentation_names_every_column_in_its_order(name, kind):
    page = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    paragraph = page.partition(f"**{name}.csv**:")[2].partition("\n\n")[0]
    named = re.findall(r"[a-z_]+", re.sub(r"\([^)]*\)", "", paragraph))
    columns = [field.name for field in fields(kind)]
    assert [word for word in dict.fromkeys(named) if word in columns] == columns
