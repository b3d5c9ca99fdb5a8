"""A real study keeps its patients in: nothing in logs, tracking, reports or metadata, nothing open, no connection."""

import json
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from tests.helpers.network_trap import noted, off_the_network, set_trap
from tests.helpers.patient_data import open_to_others
from tests.helpers.projects import run_in
from workflow_scripts.privacy.guard import scan_project
from workflow_scripts.privacy.marks import SIMULATED_DATE, SIMULATED_IDENTIFIER
from workflow_scripts.sources.mimic_iii.canaries import icustay_id, subject_id

pytestmark = pytest.mark.workflow


def found_kinds(folder: Path) -> dict[str, set[str]]:
    return {name: set(kinds) for name, kinds in scan_project(folder).findings.items()}


def test_no_record_of_a_patient_stands_outside_the_data_folders(study: Path) -> None:
    report = scan_project(study)
    assert report.findings == {}, str(report)
    assert report.datasets == ["simulated"]
    names = {path.relative_to(study).parts[0] for path in study.rglob("*") if path.is_file()}
    assert {"logs", "results", "mlflow.db", "mlartifacts", ".snakemake", ".dvc", "dvc.lock"} <= names
    assert report.files > 300


YEAR = 2603
PLANTS = [
    "logs/simulated/extract_events.log",
    "logs/new.log",
    "results/simulated/report.html",
    "results/simulated/summary/metrics.csv",
    "results/simulated/runs/note.json",
    "mlartifacts/simulated/note.txt",
    ".snakemake/log/a.snakemake.log",
    "dvc.lock",
    "README.md",
    "notes.txt",  # Git would add it.
]


def test_a_planted_identifier_is_found_wherever_it_is_and_never_shown(study: Path) -> None:
    paths = [study / name for name in PLANTS]
    before = {path: path.read_bytes() if path.exists() else None for path in paths}
    try:
        for path in paths:
            path.write_bytes((before[path] or b"") + f"\nstay {icustay_id(7, 0, 1)} fails\n".encode())
        report = scan_project(study, [])
    finally:
        for path, content in before.items():
            path.unlink() if content is None else path.write_bytes(content)
    assert {name: set(kinds) for name, kinds in report.findings.items()} == {
        name: {SIMULATED_IDENTIFIER} for name in PLANTS
    }
    assert str(icustay_id(7, 0, 1)) not in str(report)


def test_a_planted_tag_of_mlflow_is_found_and_so_is_a_deleted_one(study: Path) -> None:
    database = study / "mlflow.db"
    before = database.read_bytes()
    try:
        with sqlite3.connect(database) as connection:
            connection.execute(
                "UPDATE tags SET value = ? WHERE rowid = 1", (f"admitted {YEAR}-04-05 06:07:00",)
            )
        connection.close()
        assert found_kinds(study) == {"mlflow.db": {SIMULATED_DATE}}
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA secure_delete = OFF")
            connection.execute("DELETE FROM tags WHERE rowid = 1")
        connection.close()
        assert found_kinds(study) == {"mlflow.db": {SIMULATED_DATE}}
    finally:
        database.write_bytes(before)


def test_a_name_of_a_file_can_give_a_patient_away(study: Path) -> None:
    path = study / f"logs/stay_{subject_id(3)}.log"
    path.touch()
    try:
        report = scan_project(study, [])
    finally:
        path.unlink()
    assert set(report.findings) == {"logs/stay_….log"}
    assert str(subject_id(3)) not in str(report)


def test_the_command_ends_with_1_where_there_is_something(study: Path) -> None:
    command = (sys.executable, "-m", "workflow_scripts.steps.check_privacy")
    assert "records of patients in 0" in run_in(study, *command).stdout
    table = study / "results/simulated/stays.parquet"
    shutil.copy(study / "data/simulated/cohorts/sepsis3.parquet", table)
    try:
        shown = run_in(study, *command, "--dataset", "simulated", expect=1).stdout
    finally:
        table.unlink()
    assert "results/simulated/stays.parquet: table with a row for each stay or patient" in shown
    assert "records of patients in 1" in shown


def test_the_commit_hook_refuses_a_row_and_lets_an_aggregate_pass(study: Path) -> None:
    run_in(study, "git", "config", "core.hooksPath", ".githooks")
    note = study / "notes.md"
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    commit = ("git", *identity, "commit", "--quiet", "--message", "notes")
    python = {"PYTHONPATH": str(study)}
    try:
        note.write_text(f"see stay {icustay_id(1, 0, 0)}\n")
        run_in(study, "git", "add", "notes.md")
        # What lies in the folder is mended, what is staged is not.
        note.write_text("see one stay\n")
        refused = run_in(study, *commit, expect=1, **python)
        assert "notes.md: identifier of a simulated patient" in refused.stdout + refused.stderr
        run_in(study, "git", "add", "notes.md")
        run_in(study, *commit, **python)
    finally:
        run_in(study, "git", "config", "--unset", "core.hooksPath")


def test_files_with_rows_of_patients_are_for_their_owner_only(study: Path) -> None:
    places = ("data", "results/simulated/runs", "mlartifacts", ".dvc/cache", "logs")
    assert [path for place in places for path in open_to_others(study, study / place)] == []
    assert (study / "mlflow.db").stat().st_mode & 0o077 == 0


def test_a_run_opens_no_connection_off_the_machine(connections: Path) -> None:
    assert noted(connections) == []


def test_the_trap_would_have_noted_a_connection(tmp_path: Path) -> None:
    set_trap(tmp_path, tmp_path / "notes")
    code = (
        "import socket, urllib.request\n"
        "for work in (lambda: urllib.request.urlopen('https://example.org'),\n"
        "             lambda: socket.create_connection(('192.0.2.1', 9), timeout=1),\n"
        "             lambda: socket.socket().bind(('0.0.0.0', 0)),\n"
        "             lambda: socket.socket().bind(('127.0.0.1', 0))):\n"
        "    try:\n"
        "        work()\n"
        "    except OSError:\n"
        "        pass\n"
    )
    run_in(tmp_path, sys.executable, "-c", code, PYTHONPATH=str(tmp_path))
    notes = noted(tmp_path / "notes")
    assert [note.split(" by ")[0] for note in notes] == [
        "socket.getaddrinfo example.org",
        "socket.getaddrinfo 192.0.2.1",
        "socket.bind 0.0.0.0",
    ]


@pytest.mark.skipif(not off_the_network(), reason="this machine allows no network namespace")
def test_where_a_namespace_is_allowed_there_is_no_way_out_of_it(tmp_path: Path) -> None:
    code = "import socket; print([name for _, name in socket.if_nameindex()])"
    shown = run_in(tmp_path, *off_the_network(), sys.executable, "-c", code).stdout
    assert json.loads(shown.replace("'", '"')) == ["lo"]
