"""Rows of runs without a record; the log's text is that of `runtime.step.run_step` for a UserError."""

from pathlib import Path

import pytest

from tests.evaluation.study_records import run_record, write_record
from workflow_scripts.evaluation.aggregation import collect_rows
from workflow_scripts.evaluation.missing_runs import missing_row

RECORD = Path("results/simulated/runs/sepsis3/heart_rate/moirai-nano/lora-r2/seed3/run.json")


def test_a_missing_run_has_its_names_and_no_value() -> None:
    row = missing_row(RECORD, [], [])
    assert (row.dataset, row.cohort, row.vital) == ("simulated", "sepsis3", "heart_rate")
    assert (row.model, row.family, row.arm, row.rank, row.seed) == ("moirai-nano", "moirai", "lora-r2", 2, 3)
    assert (row.status, row.mse, row.test_windows, row.total_seconds) == ("missing", None, None, None)
    assert row.reason == "not finished: the run has no record and its log names no error"


@pytest.mark.parametrize(
    ("model", "arm", "family"),
    [("persistence", "baseline", "baseline"), ("n-hits-hr", "trained-dilate", "n-hits")],
)
def test_baselines_and_models_from_scratch_are_named_too(model: str, arm: str, family: str) -> None:
    row = missing_row(Path(f"results/x/runs/all/heart_rate/{model}/{arm}/seed0/run.json"), [], [])
    assert (row.family, row.rank) == (family, None)


def test_a_missing_run_shares_the_windows_of_its_cohort_and_vital_sign(tmp_path: Path) -> None:
    """Counts of windows and patients are known from a run that finished; nothing else of it is taken."""
    other = run_record(vital="spo2")
    other["key"]["cohort"] = "sepsis3"
    same = run_record(vital="heart_rate", arm="full")
    same["key"]["cohort"] = "sepsis3"
    same["counts"] |= {"train_windows": 901, "test_patients": 42}
    finished = collect_rows([write_record(tmp_path, record) for record in (run_record(), other, same)])
    row = missing_row(RECORD, [], finished)
    counts = (row.train_windows, row.validation_windows, row.test_windows, row.test_patients)
    assert counts == (901, 110, 120, 42)
    assert (row.non_finite_windows, row.mse, row.trainable_parameters, row.code_hash) == (
        None,
        None,
        None,
        "",
    )


def test_an_error_is_known_by_what_follows_it_and_the_whole_log_is_looked_through(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text(
        "error: memory for training\n  found:      1 GiB more asked for\nerror: 4711 in line 3\nend\n"
    )
    assert missing_row(RECORD, [log], []).reason == "not finished: memory for training: 1 GiB more asked for"
    log.write_text("error: no second line")
    assert missing_row(RECORD, [log], []).reason.endswith("its log names no error")


def test_the_reason_is_the_last_error_of_the_first_log_that_has_one(tmp_path: Path) -> None:
    run, windows = tmp_path / "run.log", tmp_path / "windows.log"
    run.write_text("Traceback (most recent call last):\n  secret row 4711\n", encoding="utf-8")
    windows.write_text(
        "error: windows.test\n  found:      an older run\n\n"
        "error: windows.split\n  found:      2 patients\n  expected:   3 splits\n  what to do: another cohort\n",
        encoding="utf-8",
    )
    row = missing_row(RECORD, [tmp_path / "absent.log", run, windows], [])
    assert row.reason == "not finished: windows.split: 2 patients"
