"""What a user sees when something is wrong: one message, exit code 1, nothing half-written."""

import gzip
import shutil
from pathlib import Path

import pytest
import yaml

from tests.helpers.patient_data import assert_message_without_patient_data, assert_no_patient_data
from tests.helpers.projects import TINY_STUDY, copy_project, run_in

pytestmark = pytest.mark.workflow


def refused(folder: Path, study: dict[str, object], *targets: str) -> str:
    """Run a study that must fail; return all that it printed."""
    (folder / "params.yaml").write_text(yaml.safe_dump(study))
    done = run_in(folder, "snakemake", "--cores", "2", *targets, expect=1)
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    assert_message_without_patient_data(text)
    assert_no_patient_data([folder / "logs"])
    return text


@pytest.fixture
def empty_project(tmp_path):
    return copy_project(tmp_path / "project", TINY_STUDY)


def test_all_problems_of_the_settings_are_shown_before_anything_runs(empty_project):
    text = refused(empty_project, {"modles": ["x"], "vitals": ["pulse"], "training": {"steps": 0}})
    for expected in (
        "3 problems",
        "modles: unknown key",
        "'pulse' is no vital sign",
        "training.steps: found 0",
    ):
        assert expected in text
    assert not (empty_project / "data").exists()


def test_a_missing_mimic_folder_is_named_with_the_way_to_give_it(empty_project):
    text = refused(empty_project, TINY_STUDY | {"dataset": "mimic-iii"}, "data")
    assert "MIMIC_DIR" in text
    assert "data/raw/mimic-iii" in text
    assert not (empty_project / "mlflow.db").exists(), "no run was going to begin"


def test_a_truncated_table_leaves_no_events(changed_project):
    raw = changed_project / "data/raw/mimic-iii"
    shutil.copytree(changed_project / "data/raw/simulated", raw)
    whole = (raw / "CHARTEVENTS.csv.gz").read_bytes()
    (raw / "CHARTEVENTS.csv.gz").write_bytes(whole[: len(whole) // 2])
    text = refused(changed_project, TINY_STUDY | {"dataset": "mimic-iii"}, "data")
    assert "CHARTEVENTS.csv.gz" in text
    assert not list((changed_project / "data/mimic-iii/events").glob("*"))


@pytest.mark.acceptance
def test_a_short_line_is_named_by_number_and_never_shown(changed_project):
    raw = changed_project / "data/raw/mimic-iii"
    shutil.copytree(changed_project / "data/raw/simulated", raw)
    lines = gzip.decompress((raw / "CHARTEVENTS.csv.gz").read_bytes()).decode().splitlines()
    lines[5] = lines[5].rpartition(",")[0]
    (raw / "CHARTEVENTS.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    text = refused(changed_project, TINY_STUDY | {"dataset": "mimic-iii"}, "data")
    assert "CHARTEVENTS.csv.gz" in text
    assert lines[5] not in text
    assert not list((changed_project / "data/mimic-iii/events").glob("*"))


@pytest.mark.acceptance
def test_an_empty_cohort_says_at_which_step_the_last_stay_was_lost(changed_project):
    study = TINY_STUDY | {"cohort": {"minimum_age_years": 150}}
    assert "adult" in refused(changed_project, study)


@pytest.mark.acceptance
def test_a_cohort_of_one_s_own_is_run_and_its_mistakes_are_named(changed_project):
    study = TINY_STUDY | {"own_cohorts": {"mine": "mine.sql"}, "cohorts": ["mine"]}
    (changed_project / "params.yaml").write_text(yaml.safe_dump(study))
    definition = changed_project / "mine.sql"
    definition.write_text("SELECT icustay_id, intime AS onset FROM icustays")
    run_in(changed_project, "snakemake", "--cores", "2", "--", "data")
    assert (changed_project / "data/simulated/windows/mine/heart_rate.parquet").exists()
    # The later results are still there, and must not hide that the file is wrong.
    for text, message in (
        ("SELECT icustay_id, charttime AS onset FROM vitals", "stays returned more than once"),
        ("-- Needs: sofaa\nSELECT 1", "asks for sofaa, which is no concept"),
        (None, "no file mine.sql"),
    ):
        definition.write_text(text) if text else definition.unlink()
        assert message in refused(changed_project, study, "data")


def test_windows_longer_than_every_stay_are_refused(changed_project):
    study = TINY_STUDY | {"windows": {"context": 500, "horizon": 60}}
    text = refused(changed_project, study)
    assert "windows.context" in text
    assert not list((changed_project / "data/simulated/cohorts").rglob("*.parquet"))


@pytest.mark.acceptance
def test_weights_of_another_size_are_refused(changed_project):
    study = TINY_STUDY | {
        "models": ["chronos-t5-tiny"],
        "weights": {"chronos-t5-tiny": str(changed_project / "weights/prepared/chronos-t5-nano")},
    }
    text = refused(changed_project, study)
    assert "chronos-t5-tiny" in text
    assert not (changed_project / "weights/prepared/chronos-t5-tiny/model.safetensors").exists()
