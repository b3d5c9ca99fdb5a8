"""Shared by all tests: which of them run, one thread a process, no telemetry, the open demo where it is present."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers.open_data import open_data
from tests.helpers.shared_studies import Undisturbed, undisturbed_study

# No test judges speed, so neither do generated examples: a loaded machine may be slow.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A shell lets what it starts in the background ignore Ctrl-C, and with it all that the tests start and end so.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

TIERS = ("faults", "acceptance")
"""Markers of what takes minutes: left out unless the marker expression (`-m`) names it. The first one decides."""
MOST_PROCESSES = 4
"""Each holds torch, transformers and MLflow in memory."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A process for each core that this one may use; xdist itself counts those of the machine."""
    return min(MOST_PROCESSES, len(os.sched_getaffinity(0)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes; begin with the modules that take longest, so that no core is idle at the end."""
    for item in items:
        # Every test that begins with a study of its own kind, which takes a minute to make.
        if "undisturbed" in getattr(item, "fixturenames", ()):
            item.add_marker("acceptance")
    left_out = [item for item in items if not _asked_for(item, config.option.markexpr)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    slow = {item.path for item in items if item.get_closest_marker("workflow")}
    items[:] = sorted(
        (item for item in items if item not in left_out), key=lambda item: item.path not in slow
    )


def pytest_collection_finish() -> None:
    """What was imported stays, so it need not be looked through for garbage again and again."""
    gc.collect()
    gc.freeze()


def _asked_for(item: pytest.Item, expression: str) -> bool:
    tiers = [name for name in TIERS if item.get_closest_marker(name)]
    return not tiers or tiers[0] in expression


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The study that faults are injected into, finished: one core, plain processes, checkpoints."""
    return undisturbed_study(tmp_path_factory)


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    """The raw open MIMIC-III demo; the test is skipped where it is absent."""
    folder = os.environ.get("MIMIC_DEMO_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("the open MIMIC-III demo is not here: set MIMIC_DEMO_DIR to its folder")
    return Path(folder)


@pytest.fixture(scope="session")
def challenge_2019() -> Path:
    """The open Challenge 2019, a folder or an archive; the test is skipped where it is absent."""
    return open_data("challenge-2019", "CHALLENGE_2019_DIR")
