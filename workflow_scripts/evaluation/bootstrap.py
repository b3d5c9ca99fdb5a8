"""Resamples whole patients, and seeds where there are several: what varies together is drawn together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.evaluation.patient_sums import PatientSums

DRAWS_AT_ONCE = 2_000_000
"""Patients drawn in one block: bounds the memory. The order of the draws does not depend on it."""

Array = NDArray[np.float64]


def draw_patients(patients: int, resamples: int, seed: int | Sequence[int]) -> Array:
    """How often each patient is drawn in each resample, with replacement: [resamples, patients].

    A patient comes with all windows, as windows of one patient are alike. What is resampled with the same draws is
    paired. Source: cluster bootstrap, Davison and Hinkley, Bootstrap Methods and their Application (1997),
    section 3.8; Field and Welsh, J. R. Stat. Soc. B 69 (2007), 369-390.
    """
    generator = np.random.default_rng(seed)
    counts = np.empty((resamples, patients))
    block = max(1, DRAWS_AT_ONCE // patients)
    for start in range(0, resamples, block):
        rows = counts[start : start + block]
        drawn = generator.integers(patients, size=rows.shape)
        drawn += np.arange(len(rows))[:, None] * patients
        rows[:] = np.bincount(drawn.ravel(), minlength=rows.size).reshape(rows.shape)
    return counts


def resample_patients(sums: PatientSums, draws: Array) -> Array:
    """Every run's metrics over the drawn patients: [resamples, runs, metrics]; not finite where one is undefined.

    draws: [resamples, patients], as `draw_patients` gives them.
    """
    patients, runs, metrics = sums.errors.shape
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = (draws @ sums.errors.reshape(patients, runs * metrics)).reshape(-1, runs, metrics)
        return errors / (draws @ sums.weights)[:, None, :]


def resample_seeds(replicates: Array, seeds: Sequence[int], seed: int) -> Array:
    """The mean over seeds drawn with replacement in each resample: [resamples, metrics].

    replicates: [resamples, runs, metrics], one run for each of `seeds`. Arms with the same seeds see the same
    draws. Of S seeds S - 1 are drawn: with so few, drawing S would make the spread of their mean too small by
    (S - 1) / S (McCarthy and Snowden, The bootstrap and finite population sampling, Vital Health Stat. 2/95,
    1985). Patients and seeds are drawn independently (Owen, The pigeonhole bootstrap, Ann. Appl. Stat. 1
    (2007), 386-411): what differs by patient and seed together counts twice, so errs to the wide side.
    """
    drawn = draw_seeds(len(replicates), seeds, seed)
    if drawn is None:
        return replicates[:, 0]
    return np.take_along_axis(replicates, drawn[:, :, None], axis=1).mean(axis=1)


def draw_seeds(resamples: int, seeds: Sequence[int], seed: int) -> NDArray[np.int64] | None:
    """Which seeds (as places among `seeds`) each resample takes, [resamples, seeds - 1]; None where there is one."""
    if len(seeds) == 1:
        return None
    generator = np.random.default_rng([seed, len(seeds), *seeds])
    return generator.integers(len(seeds), size=(resamples, len(seeds) - 1))
