"""Checks of the summary table against what was put into the run records."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.study_records import failed_record, run_record, write_record
from workflow_scripts.evaluation.aggregation import arm_metrics, collect_rows, plot_tables, summarise_arms
from workflow_scripts.evaluation.missing_runs import missing_row
from workflow_scripts.evaluation.summary import RunRow, arm_position, read_metrics, rows_text
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import MARK

ARMS = ["zero-shot", "full", "lora-r1", "lora-r2", "lora-r16"]


@pytest.fixture
def paths(tmp_path):
    """Two baselines and one model, two seeds; the given order of arms is not the study's."""
    records = [run_record(model=name, arm="baseline", seed=0) for name in ("persistence", "mean-of-context")]
    records += [
        run_record(arm=arm, seed=seed, mse=1e-4 * (place + 1) * (1 + seed))
        for place, arm in enumerate(reversed(ARMS))
        for seed in (0, 1)
    ]
    return [write_record(tmp_path / "runs", record) for record in records]


def step(tmp_path, paths):
    """Run the step as the workflow does."""
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"code": "x", "parameters": {"runs": [str(path) for path in paths]}}))
    out = tmp_path / "summary"
    command = [sys.executable, "-m", "workflow_scripts.steps.aggregate_metrics", "--settings", settings]
    command += ["--summary", out]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False), out


def test_the_step_writes_a_row_for_each_run_in_the_order_of_the_study(tmp_path, paths):
    result, out = step(tmp_path, paths)
    assert result.returncode == 0, result.stderr
    table = pd.read_csv(out / "metrics.csv")
    assert list(zip(table["model"], table["arm"], table["seed"], strict=True)) == [
        ("persistence", "baseline", 0),
        ("mean-of-context", "baseline", 0),
        *[("chronos-t5-nano", arm, seed) for arm in ARMS for seed in (0, 1)],
    ]
    lora = table[(table["arm"] == "lora-r2") & (table["seed"] == 1)].iloc[0]
    assert (lora["rank"], lora["trainable_parameters"], lora["mse"]) == (2, 3072, 4e-4)
    assert (lora["training_seconds"], lora["best_step"], lora["weights_hash"]) == (11.5, 100, "ba5e" * 3)
    assert sorted(path.name for path in (out / "plots").iterdir()) == [
        MARK,
        "error_by_arm.csv",
        "error_by_rank.csv",
    ]


def test_the_order_of_models_follows_the_list_and_seeds_and_arms_do_not(paths):
    shuffled = paths[:2] + random.Random(0).sample(paths[2:], len(paths) - 2)
    assert rows_text(RunRow, collect_rows(shuffled)) == rows_text(RunRow, collect_rows(paths))


def test_the_table_reads_back_as_it_was_written(tmp_path, paths):
    rows = collect_rows([*paths, write_record(tmp_path / "runs", failed_record(arm="lora-r4"))])
    path = tmp_path / "metrics.csv"
    path.write_text(rows_text(RunRow, rows))
    back = read_metrics(path)
    assert rows_text(RunRow, back) == rows_text(RunRow, rows)
    assert back[0].rank is None
    assert back[0].stopped_early is None
    assert back[-1].stopped_early is True
    failed = next(row for row in back if row.arm == "lora-r4")
    assert (failed.mse, failed.status) == (None, "failed")
    assert failed.reason == "forecast not finite in 3 of 120 test windows"


def test_floats_have_six_significant_digits(tmp_path):
    path = write_record(tmp_path, run_record(mse=0.000123456789))
    row = next(csv.DictReader(rows_text(RunRow, collect_rows([path])).splitlines()))
    assert row["mse"] == "0.000123457"


def test_means_over_seeds_equal_those_of_pandas(tmp_path, paths):
    _, out = step(tmp_path, paths)
    expected = pd.read_csv(out / "metrics.csv").groupby(["model", "arm"])["mse"].mean()

    def written(model, arm):
        return json.loads((out / "arms" / f"explicit.heart_rate.{model}.{arm}.json").read_text())

    for (model, arm), mean in expected.items():
        assert written(model, arm)["mse"] == pytest.approx(mean, rel=1e-5)
    assert written("chronos-t5-nano", "lora-r16")["trainable"] == 16 * 1536
    ranks = pd.read_csv(out / "plots" / "error_by_rank.csv")
    assert ranks["rank"].tolist() == [1, 2, 16]
    assert ranks["mse"].tolist() == [
        pytest.approx(expected["chronos-t5-nano", f"lora-r{rank}"]) for rank in (1, 2, 16)
    ]


def test_a_failed_seed_is_never_averaged_away(tmp_path, paths):
    rows = collect_rows([*paths, write_record(tmp_path / "runs", failed_record(arm="full", seed=7))])
    arms = summarise_arms(rows)
    full = next(arm for arm in arms if arm.first.arm == "full")
    assert full.failed
    assert full.mean("mse") is None
    assert full.extremes("mse") is None
    assert full.reason == "seed 7: forecast not finite in 3 of 120 test windows"
    assert arm_metrics(arms)["explicit.heart_rate.chronos-t5-nano.full.json"]["mse"] is None
    drawn = pd.read_csv(pd.io.common.StringIO(plot_tables(arms)["error_by_arm.csv"])).set_index("arm")
    assert pd.isna(drawn.loc["full", "mse"])


def test_an_undefined_metric_is_named_and_the_run_is_no_failure(tmp_path):
    record = run_record()
    record["metrics"]["mape"] = None
    row = collect_rows([write_record(tmp_path, record)])[0]
    assert (row.status, row.reason) == ("ok", "undefined: mape (a zero in the denominator)")


def test_ranks_are_ordered_as_numbers_and_methods_by_name():
    arms = ["lora-r16", "dora-r2", "bitfit", "lora-r8", "full", "zero-shot", "baseline"]
    expected = ["baseline", "zero-shot", "full", "bitfit", "dora-r2", "lora-r8", "lora-r16"]
    assert sorted(arms, key=arm_position) == expected


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_text("{"), "no complete JSON"),
        (lambda path: path.write_text("[1]"), "a valid dictionary"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "no complete JSON"),
        (lambda path: path.unlink(), "no such file"),
        (
            lambda path: path.write_text(path.read_text().replace('"mse": 0.0008', '"mse": NaN')),
            "metrics.mse",
        ),
        (lambda path: path.write_text(path.read_text().replace('"dtw"', '"dtv"')), "metrics.dtw"),
        (lambda path: path.write_text(path.read_text().replace("lora-r2", "lora-r4")), "another job"),
    ],
)
def test_a_broken_or_foreign_record_is_refused_by_name(tmp_path, damage, message):
    path = write_record(tmp_path / "runs", run_record())
    damage(path)
    with pytest.raises(UserError) as refused:
        collect_rows([path])
    assert refused.value.where == str(path)
    assert message in refused.value.found


def test_the_step_ends_with_one_message_and_writes_nothing(tmp_path):
    path = write_record(tmp_path / "runs", run_record())
    path.write_text("{")
    result, out = step(tmp_path, [path])
    assert result.returncode == 1
    assert str(path) in result.stderr
    assert "Traceback" not in result.stderr
    assert not (out / "metrics.csv").exists()


def test_without_a_run_there_is_no_summary():
    with pytest.raises(UserError, match="no run"):
        collect_rows([])


def test_a_row_says_what_its_record_says(tmp_path):
    record = run_record(arm="dora-r4", seed=3)
    record["memory"] |= {"growth_host_mib": 40.5, "peak_device_mib": 88.25}
    (row,) = collect_rows([write_record(tmp_path, record)])
    for part in ("key", "metrics", "counts", "memory", "cost"):
        assert {name: getattr(row, name) for name in record[part]} == record[part]
    assert {f"{name}_seconds": value for name, value in record["seconds"].items()} == {
        name: value
        for name, value in vars(row).items()
        if name in ("start_up_seconds", "training_seconds", "forecast_seconds", "total_seconds")
    }
    assert (row.total_parameters, row.trainable_parameters) == (300_000, 4 * 1536)
    assert (row.learning_rate, row.training_steps, row.best_step) == (1e-3, 120, 100)
    assert (row.best_validation_loss, row.stopped_early) == (3.25, True)
    assert (row.family, row.rank, row.status, row.reason) == ("chronos", 4, "ok", "")
    assert (row.code_hash, row.windows_hash, row.weights_hash) == ("c0de" * 3, "da7a" * 3, "ba5e" * 3)
    assert (row.git_commit, row.finished_at) == ("0123456789ab", "2026-01-02T03:04:05+00:00")


@pytest.mark.parametrize(
    ("commit", "short"),
    [("0123456789abcdef-dirty", "0123456789ab-dirty"), ("0123456789abcdef", "0123456789ab"), (None, "")],
)
def test_a_short_commit_still_says_whether_the_working_tree_differed(tmp_path, commit, short):
    (row,) = collect_rows([write_record(tmp_path, run_record(git_commit=commit))])
    assert row.git_commit == short


def test_what_trains_nothing_has_no_training_in_its_row(tmp_path):
    (row,) = collect_rows([write_record(tmp_path, run_record(model="theta", arm="baseline"))])
    training = ("learning_rate", "training_steps", "best_step", "best_validation_loss", "stopped_early")
    assert {getattr(row, name) for name in training} == {None}
    assert (row.weights_hash, row.trainable_parameters) == ("", 0)


def test_an_arm_is_one_kind_of_model_over_all_its_seeds(tmp_path):
    records = [run_record(arm="lora-r4", seed=seed, mse=1e-4 * seed) for seed in (1, 2, 3)]
    records.append(run_record(model="theta", arm="baseline"))
    lora, theta = summarise_arms(collect_rows([write_record(tmp_path, record) for record in records]))
    assert [run.seed for run in lora.runs] == [1, 2, 3]
    assert (lora.method, lora.arm.rank, lora.kind, theta.kind) == ("lora", 4, "foundation", "baseline")
    assert lora.mean("mse") == pytest.approx(2e-4)
    assert lora.extremes("mse") == (pytest.approx(1e-4), pytest.approx(3e-4))
    assert (lora.failed, lora.reason) == (False, "")


def test_a_reason_that_all_seeds_share_is_said_once(tmp_path):
    records = [failed_record(arm="lora-r4", seed=seed) for seed in (0, 1)]
    (arm,) = summarise_arms(collect_rows([write_record(tmp_path / "two", record) for record in records]))
    assert arm.reason == "each of 2 seeds: forecast not finite in 3 of 120 test windows"
    (alone,) = summarise_arms(collect_rows([write_record(tmp_path / "one", records[0])]))
    assert alone.reason == "forecast not finite in 3 of 120 test windows"


def test_the_failure_of_training_is_the_reason_before_its_forecasts(tmp_path):
    record = failed_record() | {"failure": "the training loss is nan at step 10"}
    (row,) = collect_rows([write_record(tmp_path, record)])
    assert (row.status, row.reason) == ("failed", "the training loss is nan at step 10")


def test_the_names_of_an_arm_are_read_from_a_seed_that_ran(tmp_path):
    ran = collect_rows([write_record(tmp_path, run_record(arm="lora-r2", seed=1))])
    lost = missing_row(
        Path("results/simulated/runs/explicit/heart_rate/chronos-t5-nano/lora-r2/seed0/run.json"), [], ran
    )
    (arm,) = summarise_arms([lost, *ran])
    assert arm.first.seed == 1
    assert arm.first.trainable_parameters == 3072
    assert arm.failed
    assert arm.reason.startswith("seed 0: not finished")
    (only_lost,) = summarise_arms([lost])
    assert only_lost.first is lost


def test_the_same_run_twice_and_two_data_sets_are_refused(tmp_path):
    path = write_record(tmp_path / "a", run_record())
    again = write_record(tmp_path / "b", run_record())
    with pytest.raises(UserError, match="a second record"):
        collect_rows([path, again])
    other = run_record(seed=1)
    other["key"]["dataset"] = "mimic-iii"
    with pytest.raises(UserError, match="mimic-iii"):
        collect_rows([path, write_record(tmp_path / "b", other)])


def test_a_summary_table_without_its_columns_is_refused(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("dataset,cohort\nsimulated,explicit\n")
    with pytest.raises(UserError, match="no column vital"):
        read_metrics(path)
    with pytest.raises(UserError, match="no such file"):
        read_metrics(tmp_path / "none.csv")


def test_a_value_that_is_no_number_is_refused_with_its_line(tmp_path):
    records = [run_record(arm=arm) for arm in ("lora-r2", "lora-r4")]
    path = tmp_path / "metrics.csv"
    text = rows_text(RunRow, collect_rows([write_record(tmp_path / "runs", record) for record in records]))
    path.write_text(text.replace("lora-r4,4,0", "lora-r4,four,0"))
    with pytest.raises(UserError, match="an unreadable value in line 3"):
        read_metrics(path)
