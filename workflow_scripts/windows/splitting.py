"""Who is trained on, who is validated on, who is tested on."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from workflow_scripts.sources.contract import Patients

SPLITS = ("train", "validation", "test")


def split_by_patient(
    patients: Patients, validation_fraction: float, test_fraction: float, seed: int
) -> np.ndarray:
    """Return the split of each patient of a data set, str [P].

    Patients are stratified by death in hospital, or as `patients` says. Within a stratum they are ordered by a hash of
    seed and subject_id, and their place in that order decides. So the split depends neither on cohort and vital sign
    nor on row order, and further patients move hardly anyone.
    """
    splits = np.empty(len(patients), dtype="<U10")
    for stratum in (False, True):
        members = np.flatnonzero(patients.stratum == stratum)
        keys = patients.subject_id[members]
        splits[members] = _split_in_hash_order(keys, len(members), validation_fraction, test_fraction, seed)
    return splits


def split_by_window(
    icustay_id: np.ndarray,
    start: np.ndarray,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> np.ndarray:
    """Return a split of each window regardless of its patient, str [N]: the paper's leaky split.

    Windows of one stay end up in train and in test, which flatters every result; it exists for comparison
    with published numbers only. icustay_id (str [N]) and start (int64 [N]) name the windows.
    """
    keys = (f"{stay}:{time}" for stay, time in zip(icustay_id.tolist(), start.tolist(), strict=True))
    return _split_in_hash_order(keys, len(start), validation_fraction, test_fraction, seed)


def _split_in_hash_order(
    keys: Iterable[str], count: int, validation_fraction: float, test_fraction: float, seed: int
) -> np.ndarray:
    """Return the split of each key: by its place, between 0 and 1, in the order of the keys' hashes."""
    hashes = np.fromiter((_hash(seed, key) for key in keys), dtype=np.uint64, count=count)
    place = np.empty(count)
    place[np.argsort(hashes, kind="stable")] = (np.arange(count) + 0.5) / count
    bounds = [1 - validation_fraction - test_fraction, 1 - test_fraction]
    return np.array(SPLITS)[np.searchsorted(bounds, place, side="right")]


def _hash(seed: int, key: str) -> int:
    return int.from_bytes(blake2b(f"{seed}:{key}".encode(), digest_size=8).digest())
