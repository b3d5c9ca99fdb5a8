"""Shared by all tests: one thread a process, no telemetry, the open demo where it is present."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No test judges speed, so neither do generated examples: a loaded machine may be slow.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A shell lets what it starts in the background ignore Ctrl-C, and with it all that the tests start and end so.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    """The raw open MIMIC-III demo; the test is skipped where it is absent."""
    folder = os.environ.get("MIMIC_DEMO_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("the open MIMIC-III demo is not here: set MIMIC_DEMO_DIR to its folder")
    return Path(folder)
