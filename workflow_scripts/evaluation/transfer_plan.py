"""Which adapters are evaluated on which other cohorts. Light to import: the list of jobs is made of it."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from workflow_scripts.adaptation.arms import Arm

TRANSFER_RANK = 2
"""The paper's main setting. One rank for each method: a transfer asks what adapting carries over, not how much rank."""


@dataclass(frozen=True)
class Transfer:
    """One job: the adapter that one cohort gave, on the test windows of another; both may be sites (sites.py)."""

    trained_on: str
    evaluated_on: str
    vital: str
    model: str
    arm: str
    seed: int


def transfers(
    cohorts: Sequence[str],
    vitals: Sequence[str],
    models: Sequence[str],
    arms: Sequence[Arm],
    seeds: Sequence[int],
) -> list[Transfer]:
    """Every pair of cohorts, in the order of the tables. models: foundation models; arms: the study's."""
    return [
        Transfer(trained_on, evaluated_on, vital, model, arm.name, seed)
        for evaluated_on, vital, model, arm, trained_on, seed in itertools.product(
            cohorts, vitals, models, transferred_arms(arms), cohorts, seeds
        )
        if trained_on != evaluated_on
    ]


def transferred_arms(arms: Sequence[Arm]) -> list[Arm]:
    """Every method that trains, those with a rank at the study's rank nearest TRANSFER_RANK: known before any error."""
    nearest: dict[str, Arm] = {}
    for arm in (arm for arm in arms if arm.trains):
        known = nearest.get(arm.method, arm)
        nearest[arm.method] = min(known, arm, key=_distance)
    return list(nearest.values())


def _distance(arm: Arm) -> tuple[int, int]:
    rank = arm.rank or 0
    return abs(rank - TRANSFER_RANK), rank
