"""The split by patient and the paper's leaky one."""

from hashlib import blake2b

import numpy as np
import pytest

from workflow_scripts.sources.contract import Stays
from workflow_scripts.windows.splitting import split_by_patient, split_by_window


def make_stays(patients: np.ndarray, died: np.ndarray) -> Stays:
    zeros = np.zeros(len(patients), dtype=np.int64)
    no_onset = np.full(len(patients), np.datetime64("NaT", "us"))
    return Stays(patients, np.arange(len(patients)), zeros, zeros, died, no_onset)


def people(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return patient and death of up to three stays for each of `count` patients."""
    generator = np.random.default_rng(seed)
    patients = np.repeat(np.arange(1000, 1000 + count), generator.integers(1, 4, count))
    return patients, generator.random(len(patients)) < 0.1


def split_of_patients(
    patients: np.ndarray, died: np.ndarray, seed: int = 42, has_window: np.ndarray | None = None
) -> dict[int, str]:
    has_window = np.ones(len(patients), dtype=bool) if has_window is None else has_window
    split = split_by_patient(make_stays(patients, died), has_window, 0.15, 0.15, seed)
    return dict(zip(patients.tolist(), split.tolist(), strict=True))


def test_no_patient_is_in_two_splits() -> None:
    patients, died = people(500)
    split = split_by_patient(make_stays(patients, died), np.ones(len(patients), dtype=bool), 0.15, 0.15, 42)
    for patient in np.unique(patients):
        assert len(set(split[patients == patient])) == 1


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


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_a_few_patients_are_enough_for_every_split(count: int) -> None:
    patients = np.arange(1000, 1000 + count)
    for deaths in (np.zeros(count, dtype=bool), np.arange(count) == 1):
        assert set(split_of_patients(patients, deaths).values()) == {"train", "validation", "test"}


@pytest.mark.parametrize("seed", range(20))
def test_three_patients_with_windows_are_enough_and_who_has_none_fills_no_split(seed: int) -> None:
    patients = np.arange(1000, 1040)
    has_window = np.isin(np.arange(40), [0, 20, 39])
    splits = split_of_patients(patients, patients % 5 == 0, seed, has_window)
    assert sorted(splits[patient] for patient in patients[has_window]) == ["test", "train", "validation"]
    # Nobody else moves: the others' splits are those of everybody having windows.
    usual = split_of_patients(patients, patients % 5 == 0, seed)
    moved = {patient for patient in splits if splits[patient] != usual[patient]}
    assert moved <= set(patients[has_window].tolist())


def test_a_split_without_windows_gets_the_last_patient_in_the_order_of_the_hashes() -> None:
    """All who have windows would be for training: validation takes the last of them, test the last but one."""
    patients = np.arange(1000, 1040)
    usual = split_of_patients(patients, np.zeros(40, dtype=bool))
    chosen = [patient for patient, split in usual.items() if split == "train"][:6]
    splits = split_of_patients(patients, np.zeros(40, dtype=bool), has_window=np.isin(patients, chosen))
    *others, test, validation = in_hash_order(chosen)
    assert splits == usual | {validation: "validation", test: "test"}
    assert {splits[patient] for patient in others} == {"train"}


def test_one_patient_with_windows_stays_where_it_is() -> None:
    patients = np.arange(1000, 1020)
    usual = split_of_patients(patients, np.zeros(20, dtype=bool))
    assert split_of_patients(patients, np.zeros(20, dtype=bool), has_window=patients == 1003) == usual
