"""The simulated cluster: its clock, and one small study that Snakemake really schedules on it."""

import pytest

from benchmarks import scale
from benchmarks.simulated_cluster.snakemake_executor_plugin_simulated import Clock


def test_the_clock_jumps_to_the_next_end_when_nobody_works() -> None:
    clock, ended = Clock(), []
    for seconds in (500.0, 100.0, 100.0):
        clock.add(seconds, lambda seconds=seconds: (ended.append(seconds), clock.release()))
    clock.acquire()
    # The scheduler's own time is far below a second.
    assert ended == [100.0, 100.0]
    assert 100 <= clock.now < 101
    clock.acquire()
    clock.acquire()
    assert ended == [100.0, 100.0, 500.0]
    assert 500 <= clock.now < 501


@pytest.mark.workflow
@pytest.mark.acceptance
def test_a_study_on_simulated_gpus_takes_at_least_its_work() -> None:
    """params/paper.yaml has 160 runs on a GPU and 10 without for each seed; the ideal is the bound of any schedule."""
    found = scale.simulated(170, gpus=8, factor=1.0)
    assert found["jobs"] > 170
    assert found["ideal, h"] == pytest.approx(found["GPU work, h"] / 8)
    assert found["ideal, h"] <= found["ideal, h"] / found["runs"] <= found["makespan, h"]
    assert 0.5 < found["runs"] <= 1
    assert found["metadata files"] > found["jobs"]
