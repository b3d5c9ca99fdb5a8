"""Every job is struck at seeded moments; the ordinary command, again and again, ends the study as if not."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.fault_hook import jobs, noted, plan_strikes, set_hook
from tests.helpers.fault_study import (
    LORA,
    ORDINARY,
    STUDY,
    UNTRACKED,
    LostError,
    SilentlyWrongError,
    compare,
    compare_part,
    copy_study,
    leftovers,
    set_study,
)
from tests.helpers.projects import run_in

pytestmark = pytest.mark.workflow

LONGEST = 60
"""Commands after which a study that still does not end is given up: far more than there are jobs in a row."""


def run_until_done(folder: Path, plans: Path, *targets: str) -> int:
    """Repeat the ordinary command until it succeeds; return how many strikes ended their job.

    A strike after the last line of a job ends nothing. No job may begin more often than it was struck, plus one.
    """
    for _ in range(LONGEST):
        before = len(noted(plans, "struck"))
        # Plain processes: what a warm server's own death does stands in tests/runtime/test_warm.py.
        if run_in(folder, *ORDINARY, *targets, expect=None, VITALORA_WARM="0").returncode == 0:
            break
        if len(noted(plans, "struck")) == before:
            raise LostError("the command fails although nothing was struck")
    struck, began = Counter(noted(plans, "struck")), Counter(noted(plans, "began"))
    repeated = {job: count for job, count in began.items() if count > struck[job] + 1}
    if repeated:
        raise LostError(f"begun although done: {repeated}")
    return began.total() - len(began)


def test_a_run_that_is_killed_ends_as_if_undisturbed(
    undisturbed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder, plans = copy_study(undisturbed.project, tmp_path / "project"), tmp_path / "plans"
    record = str(LORA / "run.json")
    shutil.rmtree(folder / LORA)
    set_hook(folder, plans)
    plan_strikes(plans, undisturbed.profiles, seed=1, strikes=2, step="run_arm")
    record_property("injected", run_until_done(folder, plans, record))
    assert noted(plans, "struck")
    compare_part(folder, undisturbed.project, str(LORA))


@pytest.mark.faults
def test_a_study_whose_every_job_is_killed_again_and_again_ends_as_if_undisturbed(
    undisturbed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder, plans = copy_study(undisturbed.empty, tmp_path / "project"), tmp_path / "plans"
    set_hook(folder, plans)
    # Moments in seconds come last: a job that is quicker this time escapes them.
    plan_strikes(plans, undisturbed.profiles, seed=6, strikes=3)
    record_property("injected", run_until_done(folder, plans))
    assert set(noted(plans, "struck")) == set(jobs(undisturbed.profiles))
    compare(folder, undisturbed.project)


WITH_REQUESTS = UNTRACKED | {
    "cohorts": ["sepsis3", "explicit"],
    "arms": ["lora"],
    "transfer": True,
    "from_scratch": ["n-hits-hr"],
    "pretraining": STUDY["pretraining"] | {"series": 100, "steps": 4, "scored_series": 2},
}
REQUESTS = (
    "results/simulated/transfer/sepsis3/explicit/heart_rate/moirai-nano/lora-r2/seed0/record.json",
    "results/simulated/runs/sepsis3/heart_rate/n-hits-hr/trained/seed0/run.json",
    "results/simulated/best/sepsis3/heart_rate/moirai-nano/choice.json",
    "weights/pretrained/moirai-nano/model.safetensors",
    "data/raw/simulated-monitor/vitals.parquet",
)
"""What the rules make that a plain study does not ask for."""


@pytest.mark.faults
def test_rules_that_run_on_request_are_killed_and_end_as_if_undisturbed(
    undisturbed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    whole, folder = (copy_study(undisturbed.project, tmp_path / name) for name in ("whole", "project"))
    profiles, plans = tmp_path / "profiles", tmp_path / "plans"
    for place in (whole, folder):
        set_study(place, WITH_REQUESTS)
    set_hook(whole, profiles, profiling=True)
    run_in(whole, *ORDINARY, *REQUESTS, VITALORA_WARM="0")
    steps = {job.rpartition("-")[0] for job in jobs(profiles)}
    assert steps >= {"evaluate_transfer", "run_arm", "choose_adapter", "pretrain_model", "simulate_monitor"}
    set_hook(folder, plans)
    plan_strikes(plans, profiles, seed=3, strikes=3)
    record_property("injected", run_until_done(folder, plans, *REQUESTS))
    assert set(noted(plans, "struck")) == set(jobs(profiles))
    if results(folder) != results(whole):
        raise SilentlyWrongError("what was made on request differs")
    assert leftovers(folder) == []


def results(folder: Path) -> dict[str, bytes]:
    """Everything that must be the same byte for byte: tables, windows, forecasts and weights."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for place in ("data", "results/simulated/runs", "results/simulated/transfer", "weights")
        for path in (folder / place).rglob("*")
        if path.suffix in (".parquet", ".safetensors")
    }
