"""The windows file, written and read back, and the window step as a process."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.identifiers import as_names
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.windows.making import write_windows
from workflow_scripts.windows.reading import WINDOW_SCHEMA, Covariate, WindowMetadata, Windows, read_windows


@pytest.fixture
def windows() -> Windows:
    """Five windows of two covariates, with a gap in context, target and covariates."""
    context = np.arange(15, dtype=np.float32).reshape(5, 3) * 10
    target = np.arange(10, dtype=np.float32).reshape(5, 2) + 0.5
    covariates = np.arange(30, dtype=np.float32).reshape(5, 2, 3) + 30
    context[1, 0] = target[2, 1] = covariates[3, 1, 2] = np.nan
    others = Covariate("heart_rate", "bpm", 0, 300), Covariate("temperature", "°C", 30, 45)
    return Windows(
        context=context,
        target=target,
        covariates=covariates,
        start=np.arange(5) * 3600 + 4_000_000_000,
        split=np.array(["train", "test", "validation", "train", "test"]),
        hours_from_onset=np.array([-3.5, 0, np.nan, 20, np.nan], dtype=np.float32),
        steps_since_observed=np.array([0, 0, 3, 1, 0]),
        window_id=np.arange(5),
        subject_id=as_names([1, 2, 3, 1, 2]),
        icustay_id=as_names([11, 12, 13, 11, 12]),
        metadata=WindowMetadata(
            "mean_blood_pressure", "mmHg", 0, 190, 60, 3, 2, "by_patient", others, source="50ce"
        ),
    )


def test_windows_come_back_as_they_were_written(windows: Windows, tmp_path: Path) -> None:
    write_windows(tmp_path / "windows.parquet", windows)
    back = read_windows(tmp_path / "windows.parquet")
    assert back.metadata == windows.metadata
    assert {back.context.dtype, back.target.dtype, back.covariates.dtype} == {np.dtype(np.float32)}
    assert back.start.dtype == np.int64
    for field in fields(Windows)[:-1]:
        np.testing.assert_array_equal(getattr(back, field.name), getattr(windows, field.name))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=5, max_size=5))
def test_identifiers_come_back_whatever_they_are(
    windows: Windows, tmp_path_factory, names: list[str]
) -> None:
    path = tmp_path_factory.mktemp("names") / "windows.parquet"
    ids = np.array(names, dtype=object)
    write_windows(path, replace(windows, subject_id=ids, icustay_id=ids[::-1]))
    back = read_windows(path)
    assert (back.subject_id.tolist(), back.icustay_id.tolist()) == (names, names[::-1])


def test_a_value_that_changed_on_the_disk_is_noticed(windows: Windows, tmp_path: Path) -> None:
    path = tmp_path / "windows.parquet"
    write_windows(path, windows)
    content = path.read_bytes()
    for value in windows.context[4, 0], windows.target[4, 1]:
        place = content.index(value.tobytes()[2:])
        path.write_bytes(content[:place] + b"\x40" + content[place + 1 :])
        with pytest.raises(UserError, match="a readable Parquet file of windows"):
            read_windows(path)


def test_windows_without_covariates_come_back_with_none(windows: Windows, tmp_path: Path) -> None:
    """Also of a split without windows."""
    plain = replace(
        windows, covariates=np.empty((5, 0, 3), np.float32), metadata=replace(windows.metadata, covariates=())
    )
    write_windows(tmp_path / "windows.parquet", plain)
    back = read_windows(tmp_path / "windows.parquet")
    assert back.covariates.shape == (5, 0, 3)
    assert back.scaled().covariates.shape == (5, 0, 3)
    assert back.metadata.covariates == ()
    assert read_windows(tmp_path / "windows.parquet", ("nothing",)).covariates.shape == (0, 0, 3)


def test_the_file_has_the_schema_and_metadata_of_the_architecture_document(windows, tmp_path: Path) -> None:
    write_windows(tmp_path / "windows.parquet", windows)
    schema = pq.read_schema(tmp_path / "windows.parquet")
    assert schema.names == [
        "window_id",
        "subject_id",
        "icustay_id",
        "start",
        "split",
        "hours_from_onset",
        "steps_since_observed",
        "context",
        "target",
        "covariates",
    ]
    assert schema.field("start").type == pa.timestamp("us")
    assert schema.field("context").type.value_type == pa.float32()
    assert json.loads(schema.metadata[b"vitalora"]) == {
        "vital": "mean_blood_pressure",
        "unit": "mmHg",
        "scale_low": 0,
        "scale_high": 190,
        "interval_minutes": 60,
        "context": 3,
        "horizon": 2,
        "split_kind": "by_patient",
        "covariates": [
            {"vital": "heart_rate", "unit": "bpm", "scale_low": 0, "scale_high": 300},
            {"vital": "temperature", "unit": "°C", "scale_low": 30, "scale_high": 45},
        ],
        "fill": "forward",
        "smoothing": "none",
        "stratified_by": "died_in_hospital",
        "subject_kind": "patient",
        "source": "50ce",
    }
    # Row by row: the first covariate's steps, then the second's.
    stored = pq.read_table(tmp_path / "windows.parquet")["covariates"].to_pylist()
    assert stored[1] == [36, 37, 38, 39, 40, 41]


def test_scaling_maps_the_clinical_range_to_zero_and_one_and_keeps_gaps(windows: Windows) -> None:
    scaled = windows.scaled()
    np.testing.assert_allclose(scaled.context[4], np.array([120, 130, 140]) / 190, rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(scaled.target), np.isnan(windows.target))
    assert scaled.target.dtype == np.float32


def test_every_covariate_is_scaled_by_its_own_range(windows: Windows) -> None:
    scaled = windows.scaled()
    np.testing.assert_allclose(scaled.covariates[0, 0], np.array([30, 31, 32]) / 300, rtol=1e-6)
    np.testing.assert_allclose(scaled.covariates[0, 1], np.array([3, 4, 5]) / 15, rtol=1e-5)
    assert np.isnan(scaled.covariates[3, 1, 2])
    assert scaled.covariates.dtype == np.float32


def test_a_split_is_selected_in_order(windows: Windows) -> None:
    chosen = windows.select("test")
    assert chosen.window_id.tolist() == [1, 4]
    np.testing.assert_array_equal(chosen.context, windows.context[[1, 4]])
    np.testing.assert_array_equal(chosen.covariates, windows.covariates[[1, 4]])
    assert len(windows.select("nothing")) == 0
    assert len(windows) == 5


def damaged(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


# What is done to the file, and what the message says.
DAMAGES = [
    (lambda table: table.drop_columns("split"), "incomplete columns: split"),
    (
        lambda table: table.drop_columns(["covariates", "window_id"]),
        "incomplete columns: window_id, covariates",
    ),
    (lambda table: table.set_column(0, "window_id", pa.array(["x"] * 5)), "incomplete columns: window_id"),
    (
        lambda table: table.set_column(
            table.schema.get_field_index("subject_id"), "subject_id", pa.array(["1", "2", "3", None, "5"])
        ),
        "incomplete columns: subject_id",
    ),
    (lambda table: table.replace_schema_metadata({}), "no metadata"),
    (lambda table: table.replace_schema_metadata({b"vitalora": b"{}"}), "metadata of another form"),
    (
        lambda table: table.set_column(
            table.schema.get_field_index("covariates"),
            "covariates",
            pa.array([[1.0] * 3] * 5, WINDOW_SCHEMA.field("covariates").type),
        ),
        "covariates with 3 to 3 steps",
    ),
    (
        lambda table: table.set_column(
            table.schema.get_field_index("target"),
            "target",
            pa.array([[1.0]] * 5, WINDOW_SCHEMA.field("target").type),
        ),
        "target with 1 to 1 steps",
    ),
]


@pytest.mark.parametrize(("change", "message"), DAMAGES)
def test_a_file_of_another_form_is_refused(change, message, windows, tmp_path: Path, user_error) -> None:
    path = tmp_path / "windows.parquet"
    write_windows(path, windows)
    damaged(path, change)
    error = user_error(lambda: read_windows(path))
    assert message in error.found
    assert error.where == str(path)


def test_a_cut_file_is_refused(windows, tmp_path: Path, user_error) -> None:
    path = tmp_path / "windows.parquet"
    write_windows(path, windows)
    path.write_bytes(path.read_bytes()[:-20])
    assert user_error(lambda: read_windows(path)).where == str(path)
    path.unlink()
    assert user_error(lambda: read_windows(path)).where == str(path)


def test_reading_windows_imports_neither_pandas_nor_torch() -> None:
    code = (
        "import sys, workflow_scripts.windows.reading\n"
        "print([name for name in ('pandas', 'torch', 'duckdb', 'polars', 'pydantic') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def run_step(ward, vital: str, **windows) -> subprocess.CompletedProcess[str]:
    _, cohort = ward.write()
    settings = ward.folder / "settings.json"
    parameters = {"context": 4, "horizon": 2, "minimum_context_observed": 1, "minimum_horizon_observed": 1}
    groups = {"windows": parameters | windows, "plausible_ranges": True}
    settings.write_text(json.dumps({"code": "0", "parameters": groups}))
    return subprocess.run(
        [
            *[
                sys.executable,
                "-m",
                "workflow_scripts.steps.make_windows",
                "--values",
                ward.folder / "vitals.parquet",
            ],
            *["--cohort", cohort, "--vital", vital, "--settings", settings],
            *["--output", ward.folder / "out" / "windows.parquet"],
            *["--attrition", ward.folder / "out" / "windows.attrition.csv"],
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_step_writes_windows_with_the_unit_and_scale_of_the_vital_sign(ward) -> None:
    for stay in range(1, 11):
        ward.add(stay, [80.0 + stay] * 18)
    ended = run_step(ward, "heart_rate")
    assert ended.returncode == 0, ended.stderr
    windows = read_windows(ward.folder / "out" / "windows.parquet")
    # The study's scaling of heart rate: 0 to 300 bpm.
    assert (windows.metadata.scale_low, windows.metadata.scale_high) == (0, 300)
    assert set(windows.split) == {"train", "validation", "test"}
    table = pd.read_csv(ward.folder / "out" / "windows.attrition.csv").set_index("rule")
    assert table.loc["charted_context", "windows"] == len(windows)
    assert table.loc["included", ["stays", "patients", "deaths"]].tolist() == [10, 10, 0]


@pytest.mark.parametrize(
    ("setting", "warning"),
    [
        (
            {"split": "by_window_leaky"},
            "warning: split: by_window_leaky puts windows of one stay into train and test",
        ),
        ({"smoothing": "rolling_mean_3"}, "warning: smoothing: rolling_mean_3 reads one step ahead"),
        ({}, ""),
    ],
)
def test_what_makes_errors_too_small_is_a_warning_in_the_log_and_in_the_file(setting, warning, ward) -> None:
    for stay in range(1, 11):
        ward.add(stay, [80.0 + stay] * 60)
    ended = run_step(ward, "heart_rate", **setting)
    assert ended.returncode == 0, ended.stderr
    assert ("warning: " in ended.stderr) == bool(warning)
    assert warning in ended.stderr
    metadata = read_windows(ward.folder / "out" / "windows.parquet").metadata
    assert metadata.smoothing == setting.get("smoothing", "none")
    assert metadata.split_kind == setting.get("split", "by_patient")


def test_the_step_leaves_a_vital_sign_out_of_its_own_covariates(ward) -> None:
    for stay in range(1, 11):
        ward.add(stay, [80.0 + stay] * 18)
        ward.chart(stay, 90, 37.5, vital="temperature")
    ended = run_step(ward, "heart_rate", covariates=["temperature", "heart_rate"])
    assert ended.returncode == 0, ended.stderr
    windows = read_windows(ward.folder / "out" / "windows.parquet")
    assert [covariate.vital for covariate in windows.metadata.covariates] == ["temperature"]
    assert windows.covariates.shape == (len(windows), 1, 4)
    # Charted in the second hour, and carried forward.
    first = windows.covariates[windows.icustay_id == "3"][0]
    np.testing.assert_array_equal(first, np.float32([[np.nan, 37.5, 37.5, 37.5]]))


@pytest.mark.parametrize("vital", ["temperature", "shoe_size"])
def test_the_step_ends_with_one_message_and_leaves_nothing_behind(vital: str, ward) -> None:
    ward.add(770077, [80.0] * 18)
    ended = run_step(ward, vital)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert vital in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "770077" not in ended.stderr
    assert not (ward.folder / "out").exists()
