"""events.csv and event_curves.csv of a study whose arms are exact, blurred and failed forecasts of AR(1) series."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from tests.evaluation.events import simulated
from tests.evaluation.study_records import failed_record, run_record, write_record
from workflow_scripts.evaluation.aggregation import collect_rows
from workflow_scripts.evaluation.events.rows import EventRow
from workflow_scripts.evaluation.events.table import BASELINE_ARM, EventTables, event_tables
from workflow_scripts.evaluation.events.tasks import event_tasks
from workflow_scripts.evaluation.forecasts import write_forecasts
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.windows.making import write_windows
from workflow_scripts.windows.reading import Windows

VITAL = "mean_blood_pressure"
PARAMETERS = EvaluationParameters(resamples=600)


@pytest.fixture(scope="module")
def windows() -> Windows:
    return simulated.windows(6000, seed=2, per_patient=3)


@pytest.fixture(scope="module")
def tables(windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> EventTables:
    return judged(windows, tmp_path_factory.mktemp("study"))


def judged(windows: Windows, folder: Path) -> EventTables:
    write_windows(folder / "windows.parquet", windows)
    exact = simulated.forecast(windows)
    blurred = exact + np.random.default_rng(0).normal(0, 12, (len(windows), 1, 1)).astype(np.float32)
    paths = []
    for arm, seed, quantiles in (
        ("full", 0, exact),
        ("full", 1, exact),
        ("lora-r2", 0, blurred),
        ("zero-shot", 0, None),
    ):
        make = failed_record if quantiles is None else run_record
        path = write_record(folder / "runs", make(vital=VITAL, arm=arm, seed=seed))
        for name, split in (("forecasts", "test"), ("validation_forecasts", "validation")):
            own = windows.split == split
            values = np.full_like(exact[own], np.nan) if quantiles is None else quantiles[own]
            file = path.with_name(f"{name}.parquet")
            write_forecasts(file, windows.window_id[own], values, simulated.LEVELS)
        paths.append(path)
    rows = collect_rows(paths)
    folders = {
        row: folder / "runs" / "explicit" / VITAL / row.model / row.arm / f"seed{row.seed}" for row in rows
    }
    return event_tables(rows, folders, folder / "windows.parquet", PARAMETERS)


def only(tables: EventTables, model: str, arm: str, lead: int = 180, form: str = "at") -> EventRow:
    key = ("hypotension", "< 65", "onset", form, lead)
    (row,) = [row for row in tables.events if (row.key, row.model, row.arm) == (key, model, arm)]
    return row


def test_values_are_those_of_scikit_learn(tables: EventTables, windows: Windows):
    test = windows.select("test")
    task = next(
        each for each in event_tasks(test.metadata) if each.key == only(tables, "chronos-t5-nano", "full").key
    )
    labels = task.labels(test)
    rows = task.eligible(test) & ~np.isnan(labels)
    quantiles = simulated.forecast(test)
    p = task.condition.probability(quantiles, simulated.LEVELS)[rows, task.steps - 1]
    row = only(tables, "chronos-t5-nano", "full")
    assert row.windows == rows.sum()
    assert row.prevalence == labels[rows].mean()
    assert row.auroc == pytest.approx(roc_auc_score(labels[rows], p))
    assert row.auprc == pytest.approx(average_precision_score(labels[rows], p))
    assert row.brier == pytest.approx(brier_score_loss(labels[rows], p))
    last = only(tables, "last-value", BASELINE_ARM)
    assert last.auroc == pytest.approx(roc_auc_score(labels[rows], -test.context[rows, -1]))
    assert last.brier is None


def test_exact_forecasts_beat_the_last_value_and_blurred_ones_lose_to_the_logistic_regression(
    tables: EventTables,
):
    exact, blurred = (only(tables, "chronos-t5-nano", arm) for arm in ("full", "lora-r2"))
    assert exact.auroc_above_last_low > 0
    assert blurred.auroc_above_logistic_high < 0
    assert blurred.above_logistic_low > 0
    assert blurred.p_holm < 0.05
    assert exact.p_holm >= exact.p_value


def test_intervals_hold_their_values_and_the_same_seeds_give_one_value(tables: EventTables):
    for row in [row for row in tables.events if row.model != "prevalence"]:
        for name in ("auroc", "auprc", "brier"):
            if getattr(row, f"{name}_low") is not None:
                assert getattr(row, f"{name}_low") < getattr(row, name) < getattr(row, f"{name}_high")
    assert only(tables, "chronos-t5-nano", "full").seeds == 2


def test_the_family_is_every_arm_at_every_lead_and_a_failed_arm_counts(tables: EventTables):
    family = [row for row in tables.events if row.comparisons is not None]
    assert {row.comparisons for row in family} == {12} == {len(family)}
    failed = only(tables, "chronos-t5-nano", "zero-shot")
    assert (failed.auroc, failed.p_holm) == (None, None)
    assert failed.reason.startswith("forecast not finite")
    assert only(tables, "chronos-t5-nano", "full", 720, "any").p_value is None


def test_recalibration_on_validation_mends_blurred_forecasts(tables: EventTables):
    blurred = only(tables, "chronos-t5-nano", "lora-r2")
    assert blurred.brier_recalibrated < blurred.brier
    assert blurred.calibration_slope < 0.6
    parts = blurred.miscalibration - blurred.discrimination + blurred.prevalence * (1 - blurred.prevalence)
    assert blurred.brier == pytest.approx(parts)


def test_curves_are_of_main_conditions_and_have_everyone_and_nobody(tables: EventTables):
    points = [row for row in tables.event_curves if row.lead_minutes == 180]
    assert {row.condition for row in points} == {"< 65"}
    none = [row.y for row in points if row.model == "none"]
    assert none == [0.0] * 10
    row = only(tables, "chronos-t5-nano", "full")
    everyone = {row.x: row.y for row in points if row.model == "all"}
    assert everyone[0.2] == pytest.approx(row.prevalence - (1 - row.prevalence) * 0.25)
    own = {row.x: row.y for row in points if (row.arm, row.curve) == ("full", "decision")}
    assert own[0.1] == pytest.approx(row.net_benefit)


def test_a_small_study_has_one_line_for_each_task_that_says_why(windows: Windows, tmp_path: Path):
    small = windows.split != "test"
    small[:60] = True
    few = replace(
        windows,
        **{name: value[small] for name, value in vars(windows).items() if isinstance(value, np.ndarray)},
    )
    tables = judged(few, tmp_path)
    hidden = [row for row in tables.events if row.condition == "< 55"]
    assert [row.reason for row in hidden] == ["fewer than 11 test patients with this event"] * 4
    assert all(
        (row.model, row.patients, row.windows, row.prevalence) == ("", None, None, None) for row in hidden
    )
    assert tables.event_curves == []


def test_smoothed_windows_are_refused_by_name(windows: Windows, tmp_path: Path):
    smoothed = replace(windows, metadata=replace(windows.metadata, smoothing="rolling_mean_3"))
    (row,) = judged(smoothed, tmp_path).events
    assert (row.event, row.model) == ("hypotension", "")
    assert "smoothed" in row.reason


def test_the_other_baselines_are_compared_with_the_logistic_regression_too(tables: EventTables):
    assert only(tables, "last-value-logistic", BASELINE_ARM).above_logistic is not None
    assert only(tables, "prevalence", BASELINE_ARM).above_logistic_low > 0
    assert only(tables, "logistic-regression", BASELINE_ARM).above_logistic is None
