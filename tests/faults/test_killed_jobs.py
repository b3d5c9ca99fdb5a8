"""Every job of the study is struck at seeded moments; the ordinary command, again and again, ends it as if not."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_hook import jobs, noted, plan_strikes, set_hook
from fault_study import ORDINARY, LostError, compare, copy_study
from projects import run_in

pytestmark = pytest.mark.workflow

LONGEST = 60
"""Commands after which a study that still does not end is given up: far more than there are jobs in a row."""


@pytest.mark.parametrize(
    ("seed", "strikes"),
    [(1, 1), *(pytest.param(seed, 3, marks=pytest.mark.faults) for seed in (2, 3))],
)
def test_a_study_whose_every_job_is_killed_ends_as_if_undisturbed(
    undisturbed, seed: int, strikes: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Expected: the undisturbed study's tables and hashes, and no job begun more often than it was struck, plus one."""
    folder = copy_study(undisturbed.empty, tmp_path / "project")
    plans = tmp_path / "plans"
    set_hook(folder, plans)
    plan_strikes(plans, undisturbed.profiles, seed, strikes)
    for _ in range(LONGEST):
        before = len(noted(plans, "struck"))
        # Plain processes: what a warm server's own death does stands in tests/runtime/test_warm.py.
        ended = run_in(folder, *ORDINARY, expect=None, VITALORA_WARM="0").returncode
        if ended == 0:
            break
        if len(noted(plans, "struck")) == before:
            raise LostError("the command fails although nothing was struck")
    struck, began = Counter(noted(plans, "struck")), Counter(noted(plans, "began"))
    record_property("injected", struck.total())
    assert struck.keys() == set(jobs(undisturbed.profiles)), "every job was struck"
    repeated = {job: count for job, count in began.items() if count > struck[job] + 1}
    if repeated:
        raise LostError(f"begun although done: {repeated}")
    compare(folder, undisturbed.project)
