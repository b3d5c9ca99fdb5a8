"""Checks of the summary table against what was put into the run records."""

import csv
import json
import random
import subprocess
import sys

import pandas as pd
import pytest

from tests.evaluation.study_records import failed_record, run_record, write_record
from workflow_scripts.evaluation.aggregation import arm_metrics, collect_rows, plot_tables, summarise_arms
from workflow_scripts.evaluation.summary import RunRow, arm_position, read_metrics, rows_text
from workflow_scripts.runtime.errors import UserError

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
        (lambda path: path.write_text("[1]"), "found"),
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
    result, out = step(tmp_path, [path])
    assert result.returncode == 1
    assert str(path) in result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (out / "metrics.csv").exists()


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
