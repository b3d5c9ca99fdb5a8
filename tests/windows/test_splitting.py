"""The split by patient and the paper's leaky one."""

from hashlib import blake2b

import numpy as np
import pytest

from tests.helpers.identifiers import as_names
from workflow_scripts.sources.contract import Patients
from workflow_scripts.windows.splitting import split_by_patient, split_by_window


def people(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` patients, and which of them died."""
    return np.arange(1000, 1000 + count), np.random.default_rng(seed).random(count) < 0.1


def split_of_patients(patients: np.ndarray, died: np.ndarray, seed: int = 42) -> dict[int, str]:
    split = split_by_patient(Patients(as_names(patients), died), 0.15, 0.15, seed)
    return dict(zip(patients.tolist(), split.tolist(), strict=True))


def test_each_split_has_its_share_of_the_patients_among_survivors_and_among_the_dead() -> None:
    patients, died = people(1000)
    splits = split_of_patients(patients, died)
    dead = set(patients[died].tolist())
    for group in (dead, set(patients.tolist()) - dead):
        for name, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
            found = sum(splits[patient] == name for patient in group)
            # Places (rank + 1/2) / n lie 1 / n apart, so a share is met to within one patient.
            assert abs(found - share * len(group)) <= 1


def test_the_seed_decides_and_row_order_does_not() -> None:
    patients, died = people(300)
    order = np.random.default_rng(1).permutation(len(patients))
    assert split_of_patients(patients[order], died[order]) == split_of_patients(patients, died)
    assert split_of_patients(patients, died, seed=43) != split_of_patients(patients, died)


def in_hash_order(patients: list[int]) -> list[int]:
    """Sorted by blake2b("42:<patient>", 8 bytes) of `hashlib` alone, apart from the code under test."""
    return sorted(patients, key=lambda number: blake2b(f"42:{number}".encode(), digest_size=8).digest())


def test_the_split_is_the_same_on_every_machine() -> None:
    splits = split_of_patients(np.arange(12), np.arange(12) % 3 == 0)
    expected = {}
    for stratum in ([0, 3, 6, 9], [1, 2, 4, 5, 7, 8, 10, 11]):
        ordered = in_hash_order(stratum)
        for rank, number in enumerate(ordered):
            place = (rank + 0.5) / len(ordered)
            expected[number] = "train" if place < 0.7 else "validation" if place < 0.85 else "test"
    assert splits == expected


@pytest.mark.parametrize("added", [1, 50])
def test_further_patients_move_hardly_anyone(added: int) -> None:
    patients, died = people(1000)
    before = split_of_patients(patients, died)
    more = np.concatenate([patients, np.arange(9000, 9000 + added)])
    after = split_of_patients(more, np.concatenate([died, np.zeros(added, dtype=bool)]))
    moved = sum(after[patient] != split for patient, split in before.items())
    # Adding k of n patients shifts every place by at most about k / n, past two bounds.
    assert moved <= 2 * added + 2
    assert moved <= 30


def test_the_leaky_split_ignores_patients_and_has_the_same_shares() -> None:
    stay = np.repeat(np.arange(100), 20)
    start = np.tile(np.arange(20), 100)
    split = split_by_window(stay, start, 0.1, 0.1, 42)
    assert {name: int((split == name).sum()) for name in set(split)} == {
        "train": 1600, "validation": 200, "test": 200,
    }  # fmt: skip
    shared = [s for s in range(100) if {"train", "test"} <= set(split[stay == s])]
    # A stay of 20 windows misses the test share with probability 0.9^20 = 0.12.
    assert len(shared) > 70
