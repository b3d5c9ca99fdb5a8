"""Snakemake itself is ended while jobs run; two work in one folder; the settings change meanwhile."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.fault_hook import noted, set_hook
from tests.helpers.fault_study import (
    LORA,
    ORDINARY,
    RESULTS,
    STUDY,
    LostError,
    compare_part,
    copy_study,
    refused_once,
    run_again,
    set_study,
)
from tests.helpers.projects import run_in

pytestmark = pytest.mark.workflow

RUNS = RESULTS / "runs/sepsis3/heart_rate/moirai-nano"
TRAINED = [str(RUNS / name / "seed0/run.json") for name in ("full", "lora-r2")]
"""The runs that are disturbed: two at once."""
PATIENCE = 300
"""Seconds after which a test gives up waiting for what must happen; none is judged by how soon it does."""


@pytest.fixture
def unfinished(undisturbed, tmp_path: Path) -> Path:
    """A study that lacks its trained runs, with a hook that notes every job that begins."""
    folder = copy_study(undisturbed.project, tmp_path / "project")
    for record in TRAINED:
        shutil.rmtree((folder / record).parent)
    set_hook(folder, tmp_path / "notes")
    return folder


def start(folder: Path, *targets: str) -> subprocess.Popen[bytes]:
    """Start the ordinary command, as the leader of a group as a terminal's foreground job is."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [*ORDINARY, *targets],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_until(happened) -> None:
    """Wait for what must happen."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise LostError("what was waited for did not happen")
        time.sleep(0.02)


def processes_in(folder: Path) -> list[int]:
    """The processes that work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.readlink() == folder:
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found


def training(folder: Path) -> bool:
    """Whether a run has begun."""
    return any(job.startswith("run_arm") for job in noted(folder.parent / "notes", "began"))


@pytest.mark.parametrize(
    "how",
    [
        "SIGKILL",
        pytest.param("SIGTERM", marks=pytest.mark.faults),
        pytest.param("Ctrl-C", marks=pytest.mark.faults),
        pytest.param("SIGKILL of all", marks=pytest.mark.faults),
    ],
)
def test_after_snakemake_was_ended_the_ordinary_command_goes_on(
    undisturbed, unfinished: Path, how: str
) -> None:
    """A Snakemake that could not clean up leaves its lock, and says how to remove it."""
    snakemake = start(unfinished, *TRAINED)
    wait_until(lambda: training(unfinished))
    if how == "Ctrl-C":
        os.killpg(snakemake.pid, signal.SIGINT)
    elif how == "SIGKILL of all":
        os.killpg(snakemake.pid, signal.SIGKILL)
    else:
        snakemake.send_signal(signal.Signals[how])
    snakemake.wait(PATIENCE)
    if how.startswith("SIGKILL"):
        assert "--unlock" in refused_once(unfinished, *TRAINED)
        run_in(unfinished, "snakemake", "--unlock")
    run_again(unfinished, *TRAINED)
    wait_until(lambda: not processes_in(unfinished))
    compare_part(unfinished, undisturbed.project, str(RUNS))


@pytest.mark.faults
def test_a_second_snakemake_in_the_folder_is_turned_away_and_disturbs_nothing(
    undisturbed, unfinished: Path
) -> None:
    first = start(unfinished, *TRAINED)
    wait_until(lambda: training(unfinished))
    second = run_in(unfinished, *ORDINARY, *TRAINED, expect=None)
    assert second.returncode == 1
    assert "cannot be locked" in second.stdout + second.stderr
    assert "Traceback" not in second.stdout + second.stderr
    assert first.wait(PATIENCE) == 0
    compare_part(unfinished, undisturbed.project, str(RUNS))


@pytest.mark.faults
def test_settings_changed_during_the_run_are_noticed_by_the_next(undisturbed, unfinished: Path) -> None:
    """The run goes on with what it read; the next command repeats what the change concerns."""
    record = str(LORA / "run.json")
    changed = STUDY | {"training": STUDY["training"] | {"steps": 2}}
    set_study(unfinished, changed)
    first = start(unfinished, record)
    wait_until(lambda: training(unfinished))
    set_study(unfinished, STUDY)
    assert first.wait(PATIENCE) == 0
    assert json.loads((unfinished / record).read_text())["training"]["steps"] == 2
    run_again(unfinished, record)
    compare_part(unfinished, undisturbed.project, str(LORA))
