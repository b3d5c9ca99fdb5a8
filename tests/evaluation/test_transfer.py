"""Checks of transfer between cohorts: nobody is seen twice, and paired differences on the same windows, in pandas."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.study_records import run_record
from tests.reporting.fabricated_study import LEVELS, MODELS, fabricate_study
from workflow_scripts.adaptation.arms import Arm, expand_arms
from workflow_scripts.evaluation.aggregation import collect_rows
from workflow_scripts.evaluation.forecasts import read_forecasts, write_forecasts
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import ERRORS
from workflow_scripts.evaluation.summary import TransferRow, read_rows, rows_text
from workflow_scripts.evaluation.transfer import read_transfer, transfer_rows
from workflow_scripts.evaluation.transfer_plan import Transfer, transferred_arms, transfers
from workflow_scripts.evaluation.transfer_windows import read_transfer_windows
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.making import write_windows
from workflow_scripts.windows.reading import read_windows

MODEL, VITAL = MODELS[1], "heart_rate"
SEEDS = (0, 1, 2)


def test_of_each_method_one_rank_is_transferred_the_one_nearest_two():
    arms = expand_arms(["zero-shot", "full", "lora", "dora"], [1, 4, 8])
    assert [arm.name for arm in transferred_arms(arms)] == ["full", "lora-r1", "dora-r1"]
    assert [arm.name for arm in transferred_arms(expand_arms(["lora"], [16, 2, 1]))] == ["lora-r2"]
    assert [arm.name for arm in transferred_arms(expand_arms(["lora"], [8, 4]))] == ["lora-r4"]
    assert [arm.name for arm in transferred_arms(expand_arms(["lora"], [3, 1]))] == ["lora-r1"], (
        "as near, smaller"
    )
    assert [arm.name for arm in transferred_arms(expand_arms(["lora"], [3, 4]))] == ["lora-r3"]


def test_jobs_are_in_the_order_of_the_tables():
    jobs = transfers(["one", "two"], ["a", "b"], ["m"], [Arm("full"), Arm("bitfit")], [0, 1])
    assert jobs[:3] == [
        Transfer("two", "one", "a", "m", "full", 0),
        Transfer("two", "one", "a", "m", "full", 1),
        Transfer("two", "one", "a", "m", "bitfit", 0),
    ]
    assert [(job.evaluated_on, job.vital) for job in jobs[::4]] == [
        ("one", "a"),
        ("one", "b"),
        ("two", "a"),
        ("two", "b"),
    ]


def test_every_pair_of_cohorts_is_one_job_for_each_vital_sign_model_arm_and_seed():
    jobs = transfers(["one", "two", "three"], ["heart_rate"], ["m"], [Arm("zero-shot"), Arm("full")], [0, 1])
    assert len(jobs) == len(set(jobs)) == 3 * 2 * 2
    assert all(job.trained_on != job.evaluated_on for job in jobs)
    assert transfers(["one"], ["heart_rate"], ["m"], [Arm("full")], [0]) == []


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two cohorts; the 40 test patients of `angus` are test patients of `explicit` too."""
    return fabricate_study(
        tmp_path_factory.mktemp("study"),
        models=(MODEL,),
        arms=("zero-shot", "full", "lora-r2"),
        vitals=(VITAL,),
        seeds=SEEDS,
        cohorts=("explicit", "angus"),
        test_windows=120,
    )


def windows_of(study):
    folder = study.windows
    return read_transfer_windows(
        folder / "angus" / f"{VITAL}.parquet", folder / "explicit" / f"{VITAL}.parquet"
    )


def test_all_test_windows_are_read_and_no_others(study):
    test = windows_of(study)
    assert set(test.split) == {"test"}
    assert (len(test), len(np.unique(test.subject_id))) == (120, 40)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_test_patient_whom_the_adapter_has_seen_is_refused_without_a_name(study, tmp_path, split):
    """Of the adapter's cohort the windows 40 to 48 are moved from test to another split: three patients of three."""
    own = read_windows(study.windows / "angus" / f"{VITAL}.parquet")
    moved = np.where(np.isin(own.window_id, np.arange(40, 49)), split, own.split)
    patients = np.unique(own.subject_id[moved != own.split])
    write_windows(tmp_path / "own.parquet", replace(own, split=moved))
    with pytest.raises(UserError) as caught:
        read_transfer_windows(study.windows / "angus" / f"{VITAL}.parquet", tmp_path / "own.parquet")
    assert caught.value.found.startswith(f"{len(patients)} of 40 test patients are in train or validation")
    assert not any(str(patient) in str(caught.value) for patient in patients)


def test_windows_of_another_geometry_are_refused(study, tmp_path):
    own = read_windows(study.windows / "angus" / f"{VITAL}.parquet")
    other = replace(own, metadata=replace(own.metadata, scale_high=190.0, interval_minutes=30))
    write_windows(tmp_path / "own.parquet", other)
    with pytest.raises(UserError, match="another scale_high, interval_minutes than"):
        read_transfer_windows(study.windows / "angus" / f"{VITAL}.parquet", tmp_path / "own.parquet")


def test_windows_of_another_data_set_are_taken_whatever_their_patients_are_called(study, tmp_path):
    path = study.windows / "angus" / f"{VITAL}.parquet"
    own = read_windows(path)
    # The same numbers as here, and other people: nobody is looked for.
    other = replace(own, split=np.full(len(own), "train"))
    other = replace(other, metadata=replace(own.metadata, source="f" * 64, stratified_by="septic"))
    write_windows(tmp_path / "own.parquet", other)
    found = read_transfer_windows(path, tmp_path / "own.parquet", same_dataset=False)
    assert found.window_id.tolist() == own.window_id[own.split == "test"].tolist()
    with pytest.raises(UserError, match="test patients are in train or validation"):
        read_transfer_windows(path, tmp_path / "own.parquet")


def write_transfer(folder, test, seed, arm="lora-r2", failure="", broken=False, shift=3.0, to="angus"):
    """A job as evaluate_transfer writes it: the truth with noise that differs by seed."""
    job = Transfer("explicit", to, VITAL, MODEL, arm, seed)
    path = folder.joinpath("explicit", to, VITAL, MODEL, arm, f"seed{seed}")
    path.mkdir(parents=True)
    target = test.target
    truth = np.where(np.isnan(target), 80, target)
    median = truth + np.random.default_rng(seed).normal(shift, 2, target.shape)
    quantiles = np.repeat(median[:, None], len(LEVELS), axis=1).astype(np.float32)
    if broken:
        quantiles[0] = np.nan
    write_forecasts(path / "forecasts.parquet", test.window_id, quantiles, LEVELS)
    record_of_run = run_record()
    record = {"key": {"dataset": "simulated", **asdict(job)}, "failure": failure}
    record |= {"windows": record_of_run["windows"], "metrics": record_of_run["metrics"], "settings": {}}
    record |= {"seconds": {"forecast": 1.0, "total": 2.0}, "memory": {"peak_host_mib": 300.0}}
    names = ("test_windows", "test_patients", "non_finite_windows")
    record |= {"counts": dict.fromkeys(names, 0)}
    hashes = ("code", "source", "windows", "own_windows", "weights", "adapter", "forecasts")
    record |= {"hashes": dict.fromkeys(hashes, "ab" * 32)}
    record |= {name: record_of_run[name] for name in ("versions", "machine", "git_commit", "finished_at")}
    (path / "record.json").write_text(json.dumps(record))
    return path / "record.json", quantiles


def rows_of(study, paths, **parameters):
    rows = collect_rows(sorted(study.runs.rglob("run.json")))
    folders = {
        row: study.runs.joinpath(row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}") for row in rows
    }
    chosen = EvaluationParameters(resamples=400).model_copy(update=parameters)
    return transfer_rows(map(read_transfer, paths), folders, study.windows, chosen)


def test_a_site_is_evaluated_as_a_cohort_of_the_study_is(study, tmp_path):
    """The same windows and runs, once as the study's own cohort, once as a cohort of another data set."""
    test = windows_of(study)
    own = rows_of(study, [write_transfer(tmp_path, test, seed)[0] for seed in SEEDS])
    windows = tmp_path / "data" / "simulated" / "windows"
    shutil.copytree(study.windows / "explicit", windows / "explicit")
    shutil.copytree(study.windows / "angus", tmp_path / "data" / "elsewhere" / "windows" / "angus")
    to = "elsewhere.angus"
    paths = [write_transfer(tmp_path / "site", test, seed, to=to)[0] for seed in SEEDS]
    runs = {}
    for row in collect_rows(sorted(study.runs.rglob("run.json"))):
        folder = study.runs.joinpath(row.cohort, row.vital, row.model, row.arm, f"seed{row.seed}")
        runs[replace(row, cohort=to) if row.cohort == "angus" else row] = folder
    found = transfer_rows(map(read_transfer, paths), runs, windows, EvaluationParameters(resamples=400))
    here = {"angus": to, "explicit": "explicit"}
    expected = [replace(row, trained_on=here[row.trained_on], evaluated_on=to) for row in own]
    assert found == expected
    assert all(row.above_zero_shot is not None for row in found)


def own_errors(study, arm):
    """Each test window's MSE under angus' own arm, mean over seeds, scored anew."""
    test = read_windows(study.windows / "angus" / f"{VITAL}.parquet", ("test",))
    errors = []
    for seed in SEEDS:
        path = study.runs.joinpath("angus", VITAL, MODEL, arm, f"seed{seed}", "forecasts.parquet")
        errors.append(score(test.target, read_forecasts(path)[1], LEVELS, 0.0, 300.0).per_window["mse"])
    return np.mean(errors, axis=0)


def test_differences_are_paired_on_the_same_windows(study, tmp_path):
    test = windows_of(study)
    written = [write_transfer(tmp_path, test, seed) for seed in SEEDS]
    rows = rows_of(study, [path for path, _ in written])
    assert [(row.trained_on, row.metric) for row in rows] == [
        (cohort, metric) for cohort in ("angus", "explicit") for metric in ERRORS
    ]
    row = next(row for row in rows if (row.trained_on, row.metric) == ("explicit", "mse"))
    scored = [score(test.target, each, LEVELS, 0.0, 300.0).per_window["mse"] for _, each in written]
    table = pd.DataFrame(
        {
            "transferred": np.mean(scored, axis=0),
            "own": own_errors(study, "lora-r2"),
            "zero_shot": own_errors(study, "zero-shot"),
        }
    ).mean()
    assert row.value == pytest.approx(table["transferred"], rel=1e-9)
    assert row.above_own == pytest.approx(table["transferred"] - table["own"], rel=1e-6)
    assert row.above_zero_shot == pytest.approx(table["transferred"] - table["zero_shot"], rel=1e-6)
    assert row.above_own_low < row.above_own < row.above_own_high
    assert row.above_zero_shot_low < row.above_zero_shot < row.above_zero_shot_high
    assert (row.seeds, row.patients, row.windows, row.reason) == (3, 40, 120, "")


def test_an_arm_on_its_own_cohort_has_the_error_of_its_runs(study, tmp_path):
    paths = [write_transfer(tmp_path, windows_of(study), seed)[0] for seed in SEEDS]
    row = next(row for row in rows_of(study, paths) if row.trained_on == row.evaluated_on == "angus")
    assert row.value == pytest.approx(own_errors(study, "lora-r2").mean(), rel=1e-9)
    zero_shot = own_errors(study, "zero-shot").mean()
    assert row.above_zero_shot == pytest.approx(row.value - zero_shot, rel=1e-6)
    assert (row.patients, row.windows, row.above_own) == (40, 120, None)


def test_a_transfer_with_the_forecasts_of_the_own_adapter_differs_from_it_by_nothing(study, tmp_path):
    test, paths = windows_of(study), []
    for seed in SEEDS:
        path, _ = write_transfer(tmp_path, test, seed)
        own = study.runs.joinpath("angus", VITAL, MODEL, "lora-r2", f"seed{seed}", "forecasts.parquet")
        (path.parent / "forecasts.parquet").write_bytes(own.read_bytes())
        paths.append(path)
    for row in rows_of(study, paths):
        if row.trained_on == "explicit":
            assert (row.above_own, row.above_own_low, row.above_own_high) == (0.0, 0.0, 0.0)


def test_forecasts_of_other_windows_are_refused(study, tmp_path):
    path, _ = write_transfer(tmp_path, windows_of(study), 0)
    some = windows_of(study).window_id[1:]
    write_forecasts(path.parent / "forecasts.parquet", some, np.ones((len(some), 9, 12), np.float32), LEVELS)
    with pytest.raises(UserError, match="forecasts of other windows"):
        rows_of(study, [path])


@pytest.mark.parametrize(
    ("written", "parameters", "reason"),
    [
        ({"failure": "training: loss is not finite"}, {}, "seed 0: training: loss is not finite"),
        (
            {"broken": True},
            {},
            "mse is undefined: a forecast that is not finite, or a zero in the denominator",
        ),
        ({}, {"minimum_patients": 41}, "40 test patients: fewer than 41"),
    ],
)
def test_a_transfer_without_an_interval_says_why(study, tmp_path, written, parameters, reason):
    path, _ = write_transfer(tmp_path, windows_of(study), 0, **written)
    row = next(row for row in rows_of(study, [path], **parameters) if row.trained_on == "explicit")
    assert (row.low, row.above_own_low, row.reason) == (None, None, reason)
    assert (row.value is None) == (row.above_own is None) == (not parameters)


def test_an_arm_that_the_other_cohort_has_not_leaves_its_difference_empty(study, tmp_path):
    path, _ = write_transfer(tmp_path, windows_of(study), 0, arm="lora-r16")
    own, transferred = (row for row in rows_of(study, [path]) if row.metric == "mse")
    assert (own.value, own.reason) == (None, "the study has no run of lora-r16 on angus")
    assert transferred.value is not None
    assert (transferred.above_own, transferred.above_own_low) == (None, None)
    assert transferred.reason == "above_own: the study has no run of lora-r16 on angus"
    assert transferred.above_zero_shot_low < transferred.above_zero_shot < transferred.above_zero_shot_high


def test_the_reason_names_the_failure_of_the_arm_that_is_compared_with(study, tmp_path):
    record = study.runs.joinpath("angus", VITAL, MODEL, "lora-r2", "seed0", "run.json")
    kept = record.read_text()
    path, _ = write_transfer(tmp_path, windows_of(study), 0)
    failed = json.loads(kept)
    failed |= {"failure": "training: loss is not finite", "metrics": dict.fromkeys(failed["metrics"])}
    try:
        record.write_text(json.dumps(failed))
        own, transferred = (row for row in rows_of(study, [path]) if row.metric == "mse")
    finally:
        record.write_text(kept)
    assert (own.value, own.reason) == (None, "lora-r2 on angus: training: loss is not finite")
    assert transferred.low < transferred.value < transferred.high
    assert transferred.reason == "above_own: lora-r2 on angus: training: loss is not finite"


@pytest.mark.parametrize("text", ["{", "{}", '{"key": {"seed": 0}, "failure": ""}'])
def test_a_broken_or_foreign_record_is_refused_by_name(study, tmp_path, text):
    path, _ = write_transfer(tmp_path, windows_of(study), 0)
    record = path.read_text()
    path.write_text(text)
    with pytest.raises(
        UserError, match=r"seed0/record\.json\s+found: +(no complete JSON file|.*Field required)"
    ):
        read_transfer(path)
    moved = Path(str(path).replace("seed0", "seed1"))
    moved.parent.mkdir()
    moved.write_text(record)
    with pytest.raises(UserError, match="the record of another job, explicit/angus"):
        read_transfer(moved)


def test_the_table_reads_back_as_it_was_written(study, tmp_path):
    path, _ = write_transfer(tmp_path / "t", windows_of(study), 0)
    text = rows_text(TransferRow, rows_of(study, [path]))
    (tmp_path / "transfer.csv").write_text(text)
    assert rows_text(TransferRow, read_rows(tmp_path / "transfer.csv", TransferRow)) == text
