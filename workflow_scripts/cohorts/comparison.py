"""Where the presets of Sepsis-3 part: from `clinical` to `mimic_code`, one choice after the other."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from workflow_scripts.cohorts.definitions import read_definition
from workflow_scripts.cohorts.events import open_events
from workflow_scripts.cohorts.parameters import PRESETS
from workflow_scripts.cohorts.queries import create_definition, create_with_needs

Onsets = dict[int, datetime]
"""ICU stay -> onset of sepsis."""


COUNTS_QUERY = Path(__file__).with_suffix(".sql")


@dataclass(frozen=True)
class Step:
    """What one more choice of mimic_code changes, in ICU stays of all ages and lengths."""

    choice: str
    value: str | int
    septic: int
    gained: int
    lost: int
    earlier: int
    later: int


def compare_presets(events: Path, threads: int = 1) -> tuple[list[Step], list[Onsets]]:
    """Return the steps from the preset `clinical` to `mimic_code`, and the onsets after each.

    The first step is `clinical` itself; each further one makes one more choice as mimic_code does, in the order of
    docs/cohorts.md, and counts against the step before it. So every stay's difference has its reasons.
    """
    choices = dict(PRESETS["clinical"])
    onsets = [_onsets(events, choices, threads)]
    steps = [Step("definition", "clinical", len(onsets[0]), 0, 0, 0, 0)]
    for name, value in PRESETS["mimic_code"].items():
        if choices[name] != value:
            choices[name] = value
            onsets.append(_onsets(events, choices, threads))
            steps.append(_step(name, value, onsets[-2], onsets[-1]))
    return steps, onsets


def count_parts(events: Path, preset: str, threads: int = 1) -> dict[str, int]:
    """Return how many ICU stays have each part of Sepsis-3 under a preset, as comparison.sql names the parts."""
    with open_events(events, threads, clinical=True) as connection:
        query = read_definition("comparison", COUNTS_QUERY)
        create_with_needs(connection, "counts", query, PRESETS[preset])
        counts = connection.execute("FROM counts")
        names = [column[0] for column in counts.description]
        return dict(zip(names, counts.fetchall()[0], strict=True))


def _onsets(events: Path, choices: dict[str, str | int], threads: int) -> Onsets:
    with open_events(events, threads, clinical=True) as connection:
        create_definition(connection, read_definition("sepsis3"), choices)
        return dict(connection.execute("SELECT icustay_id, onset FROM defined").fetchall())


def _step(choice: str, value: str | int, before: Onsets, after: Onsets) -> Step:
    both = before.keys() & after.keys()
    return Step(
        choice=choice,
        value=value,
        septic=len(after),
        gained=len(after.keys() - before.keys()),
        lost=len(before.keys() - after.keys()),
        earlier=sum(after[stay] < before[stay] for stay in both),
        later=sum(after[stay] > before[stay] for stay in both),
    )
