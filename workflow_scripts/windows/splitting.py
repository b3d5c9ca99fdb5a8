"""Who is trained on, who is validated on, who is tested on."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from workflow_scripts.sources.contract import Stays

SPLITS = ("train", "validation", "test")


def split_by_patient(
    stays: Stays, has_window: np.ndarray, validation_fraction: float, test_fraction: float, seed: int
) -> np.ndarray:
    """Return the split of each stay, str [S]; all stays of a patient have the same.

    Patients are stratified by whether any of their included stays ended in death in hospital. Within a
    stratum they are ordered by a hash of seed and subject_id, and their place in that order decides. So the
    split depends neither on the vital sign nor on row order, and further patients move hardly anyone. Only
    where that leaves a split without windows (has_window: bool [S], of each stay), it gets one patient with
    windows of the split that has most: the last in the order of the hashes.
    """
    patients, patient_of_stay = np.unique(stays.subject_id, return_inverse=True)
    died = np.zeros(len(patients), dtype=bool)
    np.logical_or.at(died, patient_of_stay, stays.died_in_hospital)
    splits = np.empty(len(patients), dtype="<U10")
    for stratum in (False, True):
        members = np.flatnonzero(died == stratum)
        keys = (str(patient) for patient in patients[members])
        splits[members] = _split_in_hash_order(keys, len(members), validation_fraction, test_fraction, seed)
    usable = np.zeros(len(patients), dtype=bool)
    np.logical_or.at(usable, patient_of_stay, has_window)
    _fill_every_split(splits, patients, usable, seed)
    return splits[patient_of_stay]


def _fill_every_split(splits: np.ndarray, patients: np.ndarray, usable: np.ndarray, seed: int) -> None:
    order = np.argsort([_hash(seed, str(patient)) for patient in patients], kind="stable")
    order = order[usable[order]]
    for wanting in SPLITS:
        members = {name: order[splits[order] == name] for name in SPLITS}
        largest = max(members.values(), key=len)
        if not len(members[wanting]) and len(largest) > 1:
            splits[largest[-1]] = wanting


def split_by_window(
    icustay_id: np.ndarray,
    start: np.ndarray,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> np.ndarray:
    """Return a split of each window regardless of its patient, str [N]: the paper's leaky split.

    Windows of one stay end up in train and in test, which flatters every result; it exists for comparison
    with published numbers only. icustay_id and start (int64 [N]) name the windows.
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
