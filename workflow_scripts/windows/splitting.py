"""Who is trained on, who is validated on, who is tested on."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from workflow_scripts.windows.source import Stays

SPLITS = ("train", "validation", "test")


def split_by_patient(stays: Stays, validation_fraction: float, test_fraction: float, seed: int) -> np.ndarray:
    """Return the split of each stay, str [S]; all stays of a patient have the same.

    Patients are stratified by whether any of their included stays ended in death in hospital. Within a
    stratum they are ordered by a hash of seed and subject_id, and their place in that order decides. So the
    split depends neither on the vital sign nor on row order, and further patients move hardly anyone. Where
    so few patients leave test or validation without one, it takes the last training patient of that order.
    """
    patients, patient_of_stay = np.unique(stays.subject_id, return_inverse=True)
    died = np.zeros(len(patients), dtype=bool)
    np.logical_or.at(died, patient_of_stay, stays.died_in_hospital)
    splits = np.empty(len(patients), dtype="<U10")
    for stratum in (False, True):
        members = np.flatnonzero(died == stratum)
        keys = (str(patient) for patient in patients[members])
        splits[members] = _split_in_hash_order(keys, len(members), validation_fraction, test_fraction, seed)
    _give_every_split_a_patient(splits, patients, seed)
    return splits[patient_of_stay]


def _give_every_split_a_patient(splits: np.ndarray, patients: np.ndarray, seed: int) -> None:
    order = np.argsort([_hash(seed, str(patient)) for patient in patients], kind="stable")
    for wanting in ("test", "validation"):
        training = order[splits[order] == "train"]
        if not (splits == wanting).any() and len(training) > 1:
            splits[training[-1]] = wanting


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
