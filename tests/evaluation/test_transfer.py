"""Checks of transfer between cohorts: who is left out, and the paired differences on the same windows, in pandas."""

import json
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.study_records import run_record
from tests.reporting.fabricated_study import LEVELS, MODELS, SUBJECT_ID, fabricate_study
from workflow_scripts.adaptation.arms import Arm, expand_arms
from workflow_scripts.evaluation.aggregation import collect_rows
from workflow_scripts.evaluation.forecasts import read_forecasts, write_forecasts
from workflow_scripts.evaluation.metrics import score
from workflow_scripts.evaluation.parameters import EvaluationParameters
from workflow_scripts.evaluation.patient_sums import ERRORS
from workflow_scripts.evaluation.summary import TransferRow, read_rows, rows_text
from workflow_scripts.evaluation.transfer import read_transfer, transfer_rows
from workflow_scripts.evaluation.transfer_plan import Transfer, transferred_arms, transfers
from workflow_scripts.evaluation.unseen import read_unseen
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
    """Two cohorts; of the 40 test patients of `angus`, the 3rd to 14th are training patients of `explicit`."""
    study = fabricate_study(
        tmp_path_factory.mktemp("study"),
        models=(MODEL,),
        arms=("zero-shot", "full", "lora-r2"),
        vitals=(VITAL,),
        seeds=SEEDS,
        cohorts=("explicit", "angus"),
        test_windows=120,
    )
    path = study.windows / "explicit" / f"{VITAL}.parquet"
    write_windows(path, with_training_patients(read_windows(path), range(2, 14)))
    return study


FIRST_TEST = SUBJECT_ID + 10
"""The patients before are for training and validation."""


def with_training_patients(windows, places):
    """The windows, now of other patients, but for the test patients of these places, who are for training."""
    train = np.isin(windows.subject_id, [FIRST_TEST + place for place in places])
    return replace(
        windows,
        subject_id=windows.subject_id + np.where(train, 0, 1000),
        split=np.where(train, "train", windows.split),
    )


@contextmanager
def other_training_patients(study, places):
    """For a while the other cohort trains on these test patients."""
    path = study.windows / "explicit" / f"{VITAL}.parquet"
    kept = path.read_bytes()
    own = read_windows(study.windows / "angus" / f"{VITAL}.parquet")
    try:
        write_windows(path, with_training_patients(own, places))
        yield
    finally:
        path.write_bytes(kept)


def unseen_of(study):
    folder = study.windows
    return read_unseen(folder / "angus" / f"{VITAL}.parquet", folder / "explicit" / f"{VITAL}.parquet")


def test_a_patient_of_train_or_validation_of_the_other_cohort_has_no_window_left(study):
    unseen = unseen_of(study)
    left = set(np.unique(unseen.windows.subject_id) - FIRST_TEST)
    assert left == {0, 1, *range(14, 40)}
    assert (unseen.excluded_patients, unseen.excluded_windows) == (12, 36)
    assert set(unseen.windows.split) == {"test"}


def test_patients_in_validation_are_left_out_too_and_those_in_test_are_not(study, tmp_path):
    own = read_windows(study.windows / "angus" / f"{VITAL}.parquet")
    half = np.where(own.split == "test", np.where(own.window_id % 2, "validation", "test"), own.split)
    write_windows(tmp_path / "own.parquet", replace(own, split=half, subject_id=own.window_id))
    write_windows(tmp_path / "other.parquet", replace(own, subject_id=own.window_id))
    unseen = read_unseen(tmp_path / "other.parquet", tmp_path / "own.parquet")
    assert (unseen.windows.window_id % 2 == 0).all()
    assert len(unseen.windows) == 60


def test_windows_of_another_geometry_are_refused(study, tmp_path):
    own = read_windows(study.windows / "angus" / f"{VITAL}.parquet")
    other = replace(own, metadata=replace(own.metadata, scale_high=190.0, interval_minutes=30))
    write_windows(tmp_path / "own.parquet", other)
    with pytest.raises(UserError, match="another scale_high, interval_minutes than"):
        read_unseen(study.windows / "angus" / f"{VITAL}.parquet", tmp_path / "own.parquet")


def write_transfer(folder, unseen, seed, arm="lora-r2", failure="", broken=False, shift=3.0):
    """A job as evaluate_transfer writes it: the truth with noise that differs by seed."""
    job = Transfer("explicit", "angus", VITAL, MODEL, arm, seed)
    path = folder.joinpath("explicit", "angus", VITAL, MODEL, arm, f"seed{seed}")
    path.mkdir(parents=True)
    target = unseen.windows.target
    truth = np.where(np.isnan(target), 80, target)
    median = truth + np.random.default_rng(seed).normal(shift, 2, target.shape)
    quantiles = np.repeat(median[:, None], len(LEVELS), axis=1).astype(np.float32)
    if broken:
        quantiles[0] = np.nan
    write_forecasts(path / "forecasts.parquet", unseen.windows.window_id, quantiles, LEVELS)
    record_of_run = run_record()
    record = {"key": {"dataset": "simulated", **asdict(job)}, "failure": failure}
    record |= {"windows": record_of_run["windows"], "metrics": record_of_run["metrics"], "settings": {}}
    record |= {"seconds": {"forecast": 1.0, "total": 2.0}, "memory": {"peak_host_mib": 300.0}}
    names = ("test_windows", "test_patients", "excluded_windows", "excluded_patients", "non_finite_windows")
    record |= {"counts": dict.fromkeys(names, 0)}
    hashes = ("code", "windows", "own_windows", "weights", "adapter", "forecasts")
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


def own_errors(study, arm, kept):
    """Each kept window's MSE under angus' own arm, mean over seeds, scored anew."""
    test = read_windows(study.windows / "angus" / f"{VITAL}.parquet", ("test",))
    errors = []
    for seed in SEEDS:
        path = study.runs.joinpath("angus", VITAL, MODEL, arm, f"seed{seed}", "forecasts.parquet")
        errors.append(score(test.target, read_forecasts(path)[1], LEVELS, 0.0, 300.0).per_window["mse"])
    return np.mean(errors, axis=0)[kept]


def test_differences_are_paired_on_the_windows_that_the_adapter_has_not_seen(study, tmp_path):
    unseen = unseen_of(study)
    written = [write_transfer(tmp_path, unseen, seed) for seed in SEEDS]
    rows = rows_of(study, [path for path, _ in written])
    assert [(row.trained_on, row.metric) for row in rows] == [
        (cohort, metric) for cohort in ("angus", "explicit") for metric in ERRORS
    ]
    row = next(row for row in rows if (row.trained_on, row.metric) == ("explicit", "mse"))
    scored = [score(unseen.windows.target, each, LEVELS, 0.0, 300.0).per_window["mse"] for _, each in written]
    table = pd.DataFrame(
        {
            "transferred": np.mean(scored, axis=0),
            "own": own_errors(study, "lora-r2", unseen.kept),
            "zero_shot": own_errors(study, "zero-shot", unseen.kept),
        }
    ).mean()
    assert row.value == pytest.approx(table["transferred"], rel=1e-9)
    assert row.above_own == pytest.approx(table["transferred"] - table["own"], rel=1e-6)
    assert row.above_zero_shot == pytest.approx(table["transferred"] - table["zero_shot"], rel=1e-6)
    assert row.above_own_low < row.above_own < row.above_own_high
    assert row.above_zero_shot_low < row.above_zero_shot < row.above_zero_shot_high
    assert (row.seeds, row.patients, row.windows, row.reason) == (3, 28, 84, "")


def test_an_arm_on_its_own_cohort_stands_on_all_its_test_windows(study, tmp_path):
    paths = [write_transfer(tmp_path, unseen_of(study), seed)[0] for seed in SEEDS]
    row = next(row for row in rows_of(study, paths) if row.trained_on == row.evaluated_on == "angus")
    assert row.value == pytest.approx(own_errors(study, "lora-r2", slice(None)).mean(), rel=1e-9)
    zero_shot = own_errors(study, "zero-shot", slice(None)).mean()
    assert row.above_zero_shot == pytest.approx(row.value - zero_shot, rel=1e-6)
    assert (row.patients, row.windows, row.above_own) == (40, 120, None)


def test_a_transfer_with_the_forecasts_of_the_own_adapter_differs_from_it_by_nothing(study, tmp_path):
    unseen = unseen_of(study)
    paths = []
    for seed in SEEDS:
        path, _ = write_transfer(tmp_path, unseen, seed)
        own = study.runs.joinpath("angus", VITAL, MODEL, "lora-r2", f"seed{seed}", "forecasts.parquet")
        ids, quantiles, levels = read_forecasts(own)
        write_forecasts(path.parent / "forecasts.parquet", ids[unseen.kept], quantiles[unseen.kept], levels)
        paths.append(path)
    for row in rows_of(study, paths):
        if row.trained_on == "explicit":
            assert (row.above_own, row.above_own_low, row.above_own_high) == (0.0, 0.0, 0.0)


def test_forecasts_of_a_patient_whom_the_adapter_has_seen_are_refused(study, tmp_path):
    unseen = unseen_of(study)
    path, _ = write_transfer(tmp_path, unseen, 0)
    everyone = read_windows(study.windows / "angus" / f"{VITAL}.parquet", ("test",))
    quantiles = np.repeat(everyone.target[:, None], 9, axis=1)
    write_forecasts(path.parent / "forecasts.parquet", everyone.window_id, quantiles, LEVELS)
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
        ({}, {"minimum_patients": 31}, "28 test patients: fewer than 31"),
    ],
)
def test_a_transfer_without_an_interval_says_why(study, tmp_path, written, parameters, reason):
    path, _ = write_transfer(tmp_path, unseen_of(study), 0, **written)
    row = next(row for row in rows_of(study, [path], **parameters) if row.trained_on == "explicit")
    assert (row.low, row.above_own_low, row.reason) == (None, None, reason)
    assert (row.value is None) == (row.above_own is None) == (not parameters)


def test_an_arm_that_the_other_cohort_has_not_leaves_its_difference_empty(study, tmp_path):
    path, _ = write_transfer(tmp_path, unseen_of(study), 0, arm="lora-r16")
    own, transferred = (row for row in rows_of(study, [path]) if row.metric == "mse")
    assert (own.value, own.reason) == (None, "the study has no run of lora-r16 on angus")
    assert transferred.value is not None
    assert (transferred.above_own, transferred.above_own_low) == (None, None)
    assert transferred.reason == "above_own: the study has no run of lora-r16 on angus"
    assert transferred.above_zero_shot_low < transferred.above_zero_shot < transferred.above_zero_shot_high


def transferred_row(study, folder, **parameters):
    path, _ = write_transfer(folder, unseen_of(study), 0)
    rows = rows_of(study, [path], **parameters)
    return next(row for row in rows if (row.trained_on, row.metric) == ("explicit", "mse"))


COUNTS_AND_ERROR = ("patients", "windows", "value", "low", "high")


@pytest.mark.parametrize("left_out", [1, 10])
def test_the_error_of_few_patients_who_are_left_out_does_not_follow_from_the_table(study, tmp_path, left_out):
    """Theirs is the own row's sum less that of those kept, whose own error is value - above_own: the rule of 11."""
    with other_training_patients(study, range(left_out)):
        row = transferred_row(study, tmp_path)
    assert {getattr(row, name) for name in COUNTS_AND_ERROR} == {None}
    assert row.above_own_low < row.above_own < row.above_own_high
    assert row.reason == "not shown, as it would reveal a group of fewer than 11 patients"


def test_a_count_that_is_not_shown_stands_in_no_reason_either(study, tmp_path):
    with other_training_patients(study, range(5)):
        row = transferred_row(study, tmp_path, minimum_patients=36)
    assert (row.patients, row.above_own_low) == (None, None)
    assert row.reason == "too few test patients: fewer than 36"


@pytest.mark.parametrize(("left_out", "is_shown"), [(0, True), (11, True), (29, True), (30, False)])
def test_nothing_is_said_of_fewer_than_eleven_patients(study, tmp_path, left_out, is_shown):
    with other_training_patients(study, range(left_out)):
        row = transferred_row(study, tmp_path)
    numbers = {getattr(row, name) for name in (*COUNTS_AND_ERROR, "above_own", "above_zero_shot")}
    assert (None not in numbers) == is_shown
    assert (numbers == {None}) == (not is_shown)
    assert row.reason == ("" if is_shown else "not shown, fewer than 11 patients")


def test_the_reason_names_the_failure_of_the_arm_that_is_compared_with(study, tmp_path):
    record = study.runs.joinpath("angus", VITAL, MODEL, "lora-r2", "seed0", "run.json")
    kept = record.read_text()
    path, _ = write_transfer(tmp_path, unseen_of(study), 0)
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


def test_a_cohort_whose_patients_were_all_seen_is_a_row_with_the_reason(study, tmp_path):
    with other_training_patients(study, range(40)):
        unseen = unseen_of(study)
        written, _ = write_transfer(tmp_path, unseen, 0)
        row = next(row for row in rows_of(study, [written]) if row.trained_on == "explicit")
    assert len(unseen.windows) == 0
    assert (row.patients, row.value, row.low) == (0, None, None)
    assert row.reason == "every test patient is in train or validation of explicit"


@pytest.mark.parametrize("text", ["{", "{}", '{"key": {"seed": 0}, "failure": ""}'])
def test_a_broken_or_foreign_record_is_refused_by_name(study, tmp_path, text):
    path, _ = write_transfer(tmp_path, unseen_of(study), 0)
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
    path, _ = write_transfer(tmp_path / "t", unseen_of(study), 0)
    text = rows_text(TransferRow, rows_of(study, [path]))
    (tmp_path / "transfer.csv").write_text(text)
    assert rows_text(TransferRow, read_rows(tmp_path / "transfer.csv", TransferRow)) == text
