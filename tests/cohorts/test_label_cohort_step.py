"""The step as a user runs it: a process, its files and its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq


def run_step(folder: Path, events: Path, cohort: str) -> subprocess.CompletedProcess[str]:
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"code": "0", "parameters": {"cohort": {}, "vitals": ["heart_rate"]}}))
    return subprocess.run(
        [
            *[sys.executable, "-m", "workflow_scripts.steps.label_cohort"],
            *["--events", events, "--cohort", cohort, "--settings", settings],
            *["--output", folder / "out" / "cohort.parquet"],
            *["--attrition", folder / "out" / "cohort.attrition.csv"],
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_step_writes_the_cohort_and_its_attrition(hospital, tmp_path: Path) -> None:
    hospital.admit(1, diagnoses=("78552",)).admit(2, died=1)
    ended = run_step(tmp_path, hospital.write(tmp_path / "events"), "explicit")
    assert ended.returncode == 0, ended.stderr
    assert pq.read_table(tmp_path / "out" / "cohort.parquet")["included"].to_pylist() == [True, False]
    assert (tmp_path / "out" / "cohort.attrition.csv").read_text() == (
        "step,stays,admissions,patients,deaths\n"
        "all_stays,2,2,2,1\n"
        "adult,2,2,2,1\n"
        "stay_length,2,2,2,1\n"
        "definition,1,1,1,0\n"
        "charted_values,1,1,1,0\n"
    )


def test_the_step_ends_with_one_message_and_leaves_nothing_behind(hospital, tmp_path: Path) -> None:
    ended = run_step(tmp_path, hospital.admit(1).write(tmp_path / "events"), "explicit")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: cohort 'explicit'")
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()
