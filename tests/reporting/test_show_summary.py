"""Checks of the printed table."""

import re
import subprocess
import sys

import pytest

from tests.evaluation.study_records import failed_record, run_record, write_record
from workflow_scripts.evaluation.aggregation import collect_rows
from workflow_scripts.evaluation.summary import IntervalRow, LeaderboardRow, RunRow, rows_text


@pytest.fixture
def show(tmp_path):
    """Write the records' summary table, run the step, and return what it prints."""

    def run(records, intervals=(), options=()):
        metrics = tmp_path / "results" / "simulated" / "summary" / "metrics.csv"
        metrics.parent.mkdir(parents=True)
        paths = [write_record(tmp_path / "runs", record) for record in records]
        metrics.write_text(rows_text(RunRow, collect_rows(paths)))
        if intervals:
            metrics.with_name("intervals.csv").write_text(rows_text(IntervalRow, intervals))
        command = [sys.executable, "-X", "importtime", "-m", "workflow_scripts.steps.show_summary", *options]
        (tmp_path / "params.yaml").write_text("tracking: {uri: 'sqlite:///m.db'}")
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    return run


def test_the_table_shows_every_arm_of_every_vital_sign_within_100_columns(show):
    vitals = ("heart_rate", "mean_blood_pressure")
    records = [
        run_record(vital=vital, arm=arm) for vital in vitals for arm in ("zero-shot", "full", "lora-r64")
    ]
    records += [run_record(vital=vital, model="persistence", arm="baseline") for vital in vitals]
    text = show(records).stdout
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("lora-r64") == text.count("zero-shot") == text.count("persistence") == 2
    row = next(line for line in text.splitlines() if "lora-r64" in line)
    assert re.split(r"\s{2,}", row.strip()) == ["lora-r64", "8.00*", "6.50", "14.00", "98,304", "19.0"]


def test_the_smallest_error_is_marked_and_a_failure_shows_its_reason(show):
    records = [
        run_record(arm="full", mse=9e-4),
        run_record(arm="lora-r1", mse=7e-4),
        failed_record(arm="lora-r2"),
    ]
    lines = show(records).stdout.splitlines()
    assert [line.split()[0] for line in lines if "*" in line and "smallest" not in line] == ["lora-r1"]
    place = next(number for number, line in enumerate(lines) if "lora-r2" in line)
    assert "failed: forecast not finite in 3 of 120 test windows" in lines[place + 1]
    assert any(line.startswith("3 runs, 1 failed") for line in lines[-6:])


def interval_row(arm, above_best_low, reason=""):
    """An interval of MSE; the distance from the best starts at `above_best_low`."""
    known = None if reason else 1e-4
    distance = (known, above_best_low, known)
    return IntervalRow(
        *("explicit", "heart_rate", "chronos-t5-nano", arm, "mse", 1, 41, 120, 8e-4, known, known),
        *distance,
        reason,
    )


def test_the_smallest_error_and_what_validation_recommends_are_marked(show):
    errors = {"zero-shot": 9e-4, "full": 7e-4, "lora-r1": 7.5e-4}
    records = [run_record(arm=arm, mse=mse) for arm, mse in errors.items()]
    records[2]["validation_metrics"]["wql"] = 0.01
    cells = [line.split() for line in show(records).stdout.splitlines()]
    printed = {arm: line[line.index(arm) + 1] for line in cells for arm in errors if arm in line}
    assert printed == {"zero-shot": "9.00", "full": "7.00*", "lora-r1": "7.50r"}


def test_too_few_patients_for_intervals_are_named(show):
    rows = [interval_row(arm, None, "9 test patients: fewer than 10") for arm in ("full", "lora-r1")]
    text = show([run_record(arm="full"), run_record(arm="lora-r1", mse=9e-4)], rows).stdout
    assert "no intervals, so no difference is claimed: 9 test patients: fewer than 10" in text


MANY_RECORDS = [
    run_record(
        model=f"a-family-with-a-very-very-very-long-name-{size}",
        arm=f"adalora-r{rank}",
        mse=1e-4 * (size + rank),
    )
    for size in range(9)
    for rank in (1, 2, 4, 8, 16)
]


def test_of_many_arms_the_best_the_baselines_and_what_failed_are_shown(show):
    others = [run_record(model="persistence", arm="baseline", mse=1e-2), failed_record(arm="lora-r2")]
    text = show(MANY_RECORDS + others).stdout
    rows = [line.split() for line in text.splitlines()[2:] if "adalora-" in line]
    errors = [float(row[-5].strip("*r")) for row in rows]
    assert errors == sorted(errors)
    assert len(errors) == 12
    assert errors[0] == 1.0  # size 0, rank 1
    assert "persistence" in text
    assert "failed: forecast not finite" in text
    assert "14 of 47 arms" in text
    assert max(map(len, text.splitlines())) <= 100


def test_all_arms_are_shown_where_asked_for_within_100_columns(show):
    text = show(MANY_RECORDS, options=["--all"]).stdout
    assert text.count("-r16") == 9
    assert "a-family-with…" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_places_and_the_command_that_opens_the_runs_come_last(show):
    text = show([run_record()]).stdout
    assert text.rstrip().endswith("runs:    make ui")
    assert "results/simulated/report.html" in text


def test_seeds_are_averaged(show):
    text = show([run_record(seed=seed, mse=mse) for seed, mse in enumerate((6e-4, 8e-4))]).stdout
    assert "mean of 2 seeds" in text
    assert "7.00*" in text


def test_printing_imports_no_heavy_library(show):
    imported = show([run_record()]).stderr
    assert not re.search(r"\| +(pandas|numpy|torch|matplotlib|mlflow)$", imported, flags=re.MULTILINE)


def test_the_leaderboard_is_printed_by_metric_best_skill_first(tmp_path):
    def board(metric, arm, skill):
        ends = {"skill_low": skill - 0.1, "skill_high": skill + 0.1}
        return LeaderboardRow(metric, "moirai-nano", arm, 2, 1, "persistence", skill, 0.75, 1.5, **ends)

    rows = [board("wql", "lora-r2", 0.25), board("wql", "full", 0.125), board("mae", "full", 0.5)]
    path = tmp_path / "results" / "simulated" / "summary" / "leaderboard.csv"
    path.parent.mkdir(parents=True)
    path.write_text(rows_text(LeaderboardRow, rows))
    text = printed(tmp_path, "--leaderboard")
    assert "2 pairs of cohort and vital sign, wql; skill against persistence" in text
    lines = [line.split() for line in text.splitlines() if "moirai-nano" in line]
    assert lines == [
        ["moirai-nano", "lora-r2", "25.0", "15.0", "35.0", "75", "1.5", "1"],
        ["moirai-nano", "full", "12.5", "2.5", "22.5", "75", "1.5", "1"],
    ]
    assert "50.0" in printed(tmp_path, "--leaderboard", "--metric", "mae")
    refused = printed(tmp_path, "--leaderboard", "--metric", "mape", code=1)
    assert "no leaderboard by mape" in refused
    assert "wql, mae" in refused


def printed(folder, *options, code=0):
    """What the step says in a folder with results."""
    (folder / "params.yaml").write_text("tracking: {uri: 'sqlite:///m.db'}")
    command = [sys.executable, "-m", "workflow_scripts.steps.show_summary", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr
