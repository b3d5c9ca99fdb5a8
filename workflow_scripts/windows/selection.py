"""Which windows of a cohort's stays are studied, what each rule loses, and in which split they are."""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.contract import Patients, Stays
from workflow_scripts.windows.grid import Grid
from workflow_scripts.windows.parameters import WindowParameters
from workflow_scripts.windows.selection_table import SelectionRow
from workflow_scripts.windows.slicing import (
    Slices,
    candidate_slices,
    count_fitting,
    keep_charted_contexts,
    keep_charted_horizons,
    keep_placed,
    window_starts,
)
from workflow_scripts.windows.splitting import SPLITS, split_by_patient, split_by_window


@dataclass(frozen=True)
class Selection:
    """The studied windows: their places, start in microseconds and split, [N] each; and what each rule left."""

    slices: Slices
    start: np.ndarray
    split: np.ndarray
    rows: list[SelectionRow]


def select_windows(
    where: str, stays: Stays, patients: Patients, grid: Grid, parameters: WindowParameters
) -> Selection:
    """Return the windows that fit into their stay, are charted enough and are placed as asked.

    patients: all of the data set, among whom the splits are decided. Training windows begin every `train_stride` steps,
    test windows every `test_stride` where it is given, all others every context + horizon. Raises UserError, which
    begins with `where`, where no window is left, or a split without windows.
    """
    stride = np.full(len(stays), parameters.context + parameters.horizon)
    fractions = parameters.validation_fraction, parameters.test_fraction, parameters.split_seed
    if parameters.split == "by_patient":
        of_patient = dict(zip(patients.subject_id, split_by_patient(patients, *fractions), strict=True))
        of_stay = np.array([of_patient[patient] for patient in stays.subject_id])
        stride[of_stay == "train"] = parameters.train_stride
        if parameters.test_stride:
            stride[of_stay == "test"] = parameters.test_stride
    slices, rows = _windows_every(stride, where, stays, grid, parameters)
    start = window_starts(stays, slices, parameters)
    if parameters.split == "by_patient":
        split = of_stay[slices.stay]
    else:
        split = split_by_window(stays.icustay_id[slices.stay], start, *fractions)
    _refuse_empty_split(where, stays, slices, split)
    return Selection(slices, start, split, rows)


def _windows_every(
    stride: np.ndarray, where: str, stays: Stays, grid: Grid, parameters: WindowParameters
) -> tuple[Slices, list[SelectionRow]]:
    """Return the windows, one every stride steps [S], and what is left after each rule."""
    length = parameters.context + parameters.horizon
    fitting = count_fitting(grid.lengths, stride, parameters.context + 1)
    charted = np.minimum(fitting, count_fitting(grid.charted_lengths, stride, length))
    rows = [
        _row("included", stays, np.ones(len(stays), dtype=bool), None, None),
        _row("stay_length", stays, fitting > 0, int(fitting.sum()), int((fitting - charted).sum())),
    ]
    if not parameters.horizon_may_be_cut:
        complete = count_fitting(grid.lengths, stride, length)
        cut = int((complete - charted).sum())
        rows.append(_row("complete_horizon", stays, complete > 0, int(complete.sum()), cut))
    candidates = candidate_slices(grid, stride, parameters)
    forecast = keep_charted_horizons(grid, candidates, parameters)
    rows.append(_row_of("charted_horizon", stays, grid, forecast, parameters))
    placed = keep_placed(forecast, window_starts(stays, forecast, parameters), stays, parameters)
    if len(forecast) and not len(placed):
        _refuse_no_placed_window(where, stays, parameters)
    if parameters.placement != "anywhere":
        rows.append(_row_of("placement", stays, grid, placed, parameters))
    kept = keep_charted_contexts(grid, placed, parameters)
    rows.append(_row_of("charted_context", stays, grid, kept, parameters))
    _refuse_no_windows(where, stays, grid, candidates, kept, parameters)
    return kept, rows


def _row_of(
    rule: str, stays: Stays, grid: Grid, slices: Slices, parameters: WindowParameters
) -> SelectionRow:
    has_window = np.isin(np.arange(len(stays)), slices.stay)
    end = slices.step + parameters.context + parameters.horizon
    cut = grid.charted_lengths[slices.stay] < end
    return _row(rule, stays, has_window, len(slices), int(cut.sum()))


def _row(rule: str, stays: Stays, left: np.ndarray, windows: int | None, cut: int | None) -> SelectionRow:
    patients = len(np.unique(stays.subject_id[left]))
    return SelectionRow(
        rule, int(left.sum()), patients, int(stays.died_in_hospital[left].sum()), windows, cut
    )


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
    if grid.lengths.max() >= parameters.shortest_series:
        raise UserError(
            where,
            f"{len(candidates)} windows with a value to forecast, none with enough charted steps ({found})",
            f"at least {parameters.minimum_context_observed} of {parameters.context} context steps and "
            f"{parameters.minimum_horizon_observed} of {parameters.horizon} horizon steps charted",
            "lower minimum_context_observed or minimum_horizon_observed, or lengthen interval_minutes",
        )
    needed = "1 step" if parameters.horizon_may_be_cut else "horizon"
    raise UserError(
        where,
        f"no stay long enough for one window ({found})",
        f"a series of at least context + {needed} = {parameters.shortest_series} steps",
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
