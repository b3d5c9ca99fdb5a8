"""Makes the windows of one vital sign of one cohort."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_parquet
from workflow_scripts.sources.contract import Patients, Stays, read_measurements, read_patients, read_stays
from workflow_scripts.windows.grid import Grid, make_grid, smooth
from workflow_scripts.windows.parameters import WindowParameters
from workflow_scripts.windows.reading import METADATA_KEY, WINDOW_SCHEMA, Covariate, WindowMetadata, Windows
from workflow_scripts.windows.slicing import (
    Slices,
    candidate_slices,
    cut_contexts,
    cut_targets,
    keep_observed,
    keep_placed,
    steps_since_observed,
)
from workflow_scripts.windows.splitting import SPLITS, split_by_patient, split_by_window


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
) -> Windows:
    """Return the windows of the included stays, numbered in the order of (subject_id, icustay_id, start).

    `values_path` is a long table and `cohort_path` a cohort table as sources/contract.py says.
    `unit`, `scale_low` and `scale_high` describe the vital sign, `source` is the fingerprint of what the tables come
    from; all go into the metadata unchanged.
    `covariates` are other vital signs of the same table: gridded, smoothed, cut and filled as the context. They do not
    decide which windows there are, and nothing of theirs after a context's end is kept.
    Raises UserError for a table that breaks the contract, where no window is long enough or observed enough,
    and where a split ends up without windows.
    """
    where = f"windows of {vital} for {cohort_path}"
    stays = read_stays(cohort_path)
    grid = _grid(stays, values_path, vital, parameters)
    patients = read_patients(cohort_path)
    slices, start, split = _slice_and_split(where, stays, patients, grid, parameters)
    others = [
        cut_contexts(_grid(stays, values_path, covariate.vital, parameters), slices, parameters)
        for covariate in covariates
    ]
    no_others = np.empty((len(slices), 0, parameters.context), dtype=np.float32)
    return Windows(
        context=cut_contexts(grid, slices, parameters),
        target=cut_targets(grid, slices, parameters),
        covariates=np.stack(others, axis=1) if others else no_others,
        start=start // 1_000_000,
        split=split,
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
            source=source,
        ),
    )


def _grid(stays: Stays, values_path: Path, vital: str, parameters: WindowParameters) -> Grid:
    """Return the regular series of one vital sign; the same stays give the same offsets for every vital sign."""
    grid = make_grid(stays, read_measurements(values_path, vital), parameters.interval_minutes)
    return smooth(grid) if parameters.smoothing == "rolling_mean_3" else grid


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


def _slice_and_split(
    where: str, stays: Stays, patients: Patients, grid: Grid, parameters: WindowParameters
) -> tuple[Slices, np.ndarray, np.ndarray]:
    """Return the windows' places, their starts in microseconds, and their splits."""
    stride = np.full(len(stays), parameters.context + parameters.horizon)
    fractions = parameters.validation_fraction, parameters.test_fraction, parameters.split_seed
    if parameters.split == "by_patient":
        of_patient = dict(zip(patients.subject_id, split_by_patient(patients, *fractions), strict=True))
        of_stay = np.array([of_patient[patient] for patient in stays.subject_id])
        stride[of_stay == "train"] = parameters.train_stride
    slices = _windows_every(stride, where, stays, grid, parameters)
    start = _starts(stays, slices, parameters)
    if parameters.split == "by_patient":
        split = of_stay[slices.stay]
    else:
        split = split_by_window(stays.icustay_id[slices.stay], start, *fractions)
    _refuse_empty_split(where, stays, slices, split)
    return slices, start, split


def _windows_every(
    stride: np.ndarray, where: str, stays: Stays, grid: Grid, parameters: WindowParameters
) -> Slices:
    """Return the windows that fit, are placed as asked and are charted enough, one every stride steps [S]."""
    fitting = candidate_slices(grid, stride, parameters)
    placed = keep_placed(fitting, _starts(stays, fitting, parameters), stays, parameters)
    if len(fitting) and not len(placed):
        _refuse_no_placed_window(where, stays, parameters)
    slices = keep_observed(grid, placed, parameters)
    _refuse_no_windows(where, stays, grid, placed, slices, parameters)
    return slices


def _starts(stays: Stays, slices: Slices, parameters: WindowParameters) -> np.ndarray:
    """Return the start of each window, int64 microseconds since 1970."""
    return stays.intime[slices.stay] + slices.step * parameters.interval_minutes * 60_000_000


def _hours_from_onset(onset: np.ndarray, start: np.ndarray, parameters: WindowParameters) -> np.ndarray:
    """Return the hours from the onset to the end of each window's context, float32, NaN without an onset."""
    forecast_at = start.astype("datetime64[us]") + np.timedelta64(
        parameters.context * parameters.interval_minutes, "m"
    )
    hours = (forecast_at - onset) / np.timedelta64(1, "h")
    return hours.astype(np.float32)


def _refuse_no_placed_window(where: str, stays: Stays, parameters: WindowParameters) -> None:
    with_onset = int((~np.isnat(stays.onset)).sum())
    raise UserError(
        where,
        f"no window {parameters.placement.replace('_', ' ')} ({with_onset} of {_number_of(stays)} have an onset)",
        "stays long enough on that side of their onset",
        "use placement: anywhere, a cohort whose definition gives an onset, or shorter windows",
    )


def _refuse_no_windows(
    where: str, stays: Stays, grid: Grid, candidates: Slices, kept: Slices, parameters: WindowParameters
) -> None:
    if len(kept):
        return
    found = (
        f"{_number_of(stays)}, longest series {grid.lengths.max()} steps of {parameters.interval_minutes} min"
    )
    if grid.lengths.max() >= parameters.context + parameters.horizon:
        raise UserError(
            where,
            f"{len(candidates)} windows with a value to forecast, none with enough charted steps ({found})",
            f"at least {parameters.minimum_context_observed} of {parameters.context} context steps and "
            f"{parameters.minimum_horizon_observed} of {parameters.horizon} horizon steps charted",
            "lower minimum_context_observed or minimum_horizon_observed, or lengthen interval_minutes",
        )
    raise UserError(
        where,
        f"no stay long enough for one window ({found})",
        f"a series of at least context + horizon = {parameters.context + parameters.horizon} steps",
        "shorten context or horizon, shorten interval_minutes, or raise the cohort's minimum_stay_hours",
    )


def _refuse_empty_split(where: str, stays: Stays, slices: Slices, split: np.ndarray) -> None:
    windows = {name: int((split == name).sum()) for name in SPLITS}
    if all(windows.values()):
        return
    counts = ", ".join(f"{name} {count}" for name, count in windows.items())
    with_windows = len(np.unique(stays.subject_id[slices.stay]))
    raise UserError(
        where,
        f"a split without windows ({counts}; {_number_of(stays)}, {with_windows} patients with a window)",
        "windows in train, validation and test",
        "use more patients, raise validation_fraction or test_fraction, ask for shorter windows, or take another "
        "split_seed before any result is seen",
    )


def _number_of(stays: Stays) -> str:
    return f"{len(stays)} included stays of {len(np.unique(stays.subject_id))} patients"


def _lists(values: np.ndarray) -> pa.ListArray:
    """Return a float32 matrix as one list per row."""
    rows, length = values.shape
    return pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32) * length, values.ravel())
