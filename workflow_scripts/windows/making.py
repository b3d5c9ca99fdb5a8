"""Makes the windows of one vital sign of one cohort."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_parquet
from workflow_scripts.sources.contract import (
    Measurements,
    read_measurements,
    read_patients,
    read_stays,
)
from workflow_scripts.sources.mimic_iii.items import PlausibleRange
from workflow_scripts.windows.grid import Grid, make_grid, smooth
from workflow_scripts.windows.parameters import WindowParameters
from workflow_scripts.windows.reading import METADATA_KEY, WINDOW_SCHEMA, Covariate, WindowMetadata, Windows
from workflow_scripts.windows.selection import select_windows
from workflow_scripts.windows.selection_table import SelectionRow
from workflow_scripts.windows.slicing import cut_contexts, cut_targets, steps_since_observed


def make_windows(
    values_path: Path,
    cohort_path: Path,
    vital: str,
    parameters: WindowParameters,
    unit: str,
    scale_low: float,
    scale_high: float,
    covariates: Sequence[Covariate] = (),
    source: str = "",
    plausible: Mapping[str, PlausibleRange] | None = None,
) -> tuple[Windows, list[SelectionRow]]:
    """Return the windows of the included stays, and what each rule for windows left of stays and windows.

    Windows are numbered in the order of (subject_id, icustay_id, start).

    `values_path` is a long table and `cohort_path` a cohort table as sources/contract.py says.
    `unit`, `scale_low` and `scale_high` describe the vital sign, `source` is the fingerprint of what the tables come
    from; all go into the metadata unchanged.
    `covariates` are other vital signs of the same table: gridded, smoothed, cut and filled as the context. They do not
    decide which windows there are, and nothing of theirs after a context's end is kept.
    `plausible` are ranges by vital sign, outside of which values are left out.
    Raises UserError for a table that breaks the contract, where no window is long enough or observed enough,
    and where a split ends up without windows.
    """
    where = f"windows of {vital} for {cohort_path}"
    stays = read_stays(cohort_path)

    def grid_of(name: str) -> Grid:
        """The regular series of one vital sign; the same stays give the same offsets for every vital sign."""
        measurements = _plausible_values(values_path, name, (plausible or {}).get(name))
        grid = make_grid(stays, measurements, parameters.interval_minutes)
        return smooth(grid) if parameters.smoothing == "rolling_mean_3" else grid

    grid = grid_of(vital)
    patients = read_patients(cohort_path)
    selection = select_windows(where, stays, patients, grid, parameters)
    slices, start = selection.slices, selection.start
    others = [cut_contexts(grid_of(covariate.vital), slices, parameters) for covariate in covariates]
    no_others = np.empty((len(slices), 0, parameters.context), dtype=np.float32)
    windows = Windows(
        context=cut_contexts(grid, slices, parameters),
        target=cut_targets(grid, slices, parameters),
        covariates=np.stack(others, axis=1) if others else no_others,
        start=start // 1_000_000,
        split=selection.split,
        hours_from_onset=_hours_from_onset(stays.onset[slices.stay], start, parameters),
        steps_since_observed=steps_since_observed(grid, slices, parameters),
        window_id=np.arange(len(slices)),
        subject_id=stays.subject_id[slices.stay],
        icustay_id=stays.icustay_id[slices.stay],
        metadata=WindowMetadata(
            vital=vital,
            unit=unit,
            scale_low=scale_low,
            scale_high=scale_high,
            interval_minutes=parameters.interval_minutes,
            context=parameters.context,
            horizon=parameters.horizon,
            split_kind=parameters.split,
            covariates=tuple(covariates),
            fill=parameters.fill,
            smoothing=parameters.smoothing,
            stratified_by=patients.stratified_by,
            subject_kind=patients.kind,
            source=source,
        ),
    )
    return windows, selection.rows


def _plausible_values(path: Path, vital: str, plausible: PlausibleRange | None) -> Measurements:
    """Return the values of a vital sign within a range. Raises UserError where none is."""
    found = read_measurements(path, vital)
    kept = plausible.holds_all(found.value) if plausible else np.ones(len(found.value), dtype=bool)
    if not kept.any():
        raise UserError(
            str(path),
            f"no value of {vital} within its plausible range",
            "values in the unit of workflow_scripts/sources/mimic_iii/items.yaml",
            "convert the values; `check_data` says which unit they look like",
        )
    return replace(found, stay=found.stay[kept], time=found.time[kept], value=found.value[kept])


def write_windows(path: Path, windows: Windows) -> None:
    """Write the windows file of the architecture document, atomically."""
    table = pa.Table.from_arrays(
        [
            pa.array(windows.window_id),
            pa.array(windows.subject_id, pa.string()),
            pa.array(windows.icustay_id, pa.string()),
            pa.array(windows.start).cast(pa.timestamp("s")).cast(pa.timestamp("us")),
            pa.array(windows.split, pa.string()),
            pa.array(windows.hours_from_onset),
            pa.array(windows.steps_since_observed),
            _lists(windows.context),
            _lists(windows.target),
            _lists(windows.covariates.reshape(len(windows), -1)),
        ],
        schema=WINDOW_SCHEMA.with_metadata({METADATA_KEY: windows.metadata.to_json()}),
    )
    write_parquet(path, table)


def _hours_from_onset(onset: np.ndarray, start: np.ndarray, parameters: WindowParameters) -> np.ndarray:
    """Return the hours from the onset to the end of each window's context, float32, NaN without an onset."""
    forecast_at = start.astype("datetime64[us]") + np.timedelta64(
        parameters.context * parameters.interval_minutes, "m"
    )
    hours = (forecast_at - onset) / np.timedelta64(1, "h")
    return hours.astype(np.float32)


def _lists(values: np.ndarray) -> pa.ListArray:
    """Return a float32 matrix as one list per row."""
    rows, length = values.shape
    return pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32) * length, values.ravel())
