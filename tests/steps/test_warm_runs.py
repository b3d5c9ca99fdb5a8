"""Runs that a warm server forks leave what plain runs leave, byte for byte, whatever the number of threads."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.identifiers import as_names
from tests.helpers.records import without
from workflow_scripts.settings import Study, run_imports
from workflow_scripts.windows.making import write_windows
from workflow_scripts.windows.reading import WindowMetadata, Windows

if sys.platform != "linux":
    pytest.skip("elsewhere every run is a plain one", allow_module_level=True)

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = "lag-llama-nano"
"""The family that is quickest to import."""
MEASURED = ("seconds", "memory", "finished_at", "git_commit", "cost", "forked")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows of random walks, and settings of a short run."""
    folder = tmp_path_factory.mktemp("runs")
    count = 6
    series = (80 + np.random.default_rng(0).normal(0, 1, (count, 36)).cumsum(axis=1)).astype(np.float32)
    numbers = np.arange(count)
    windows = Windows(
        context=series[:, :24],
        target=series[:, 24:27],
        start=numbers * 3600,
        split=np.array(["train", "validation", "test"])[numbers % 3],
        hours_from_onset=np.full(count, np.nan, np.float32),
        steps_since_observed=np.zeros(count, np.int64),
        covariates=np.zeros((count, 0, 24), np.float32),
        window_id=numbers,
        subject_id=as_names(numbers),
        icustay_id=as_names(numbers),
        metadata=WindowMetadata("heart_rate", "bpm", 0.0, 300.0, 60, 24, 3, "by_patient"),
    )
    write_windows(folder / "windows.parquet", windows)
    study = Study(training={"steps": 2, "evaluate_every": 1}, forecast={"samples": 10}).model_dump(
        mode="json"
    )
    groups = ("adaptation", "training", "tuning", "forecast")
    settings = {"code": "", "parameters": {group: study[group] for group in groups}}
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder


def run(folder: Path, output: Path, owner: int, threads: int) -> None:
    """Train and forecast with the command of the rule."""
    arguments = {
        "dataset": "simulated",
        "cohort": "explicit",
        "vital": "heart_rate",
        "model": MODEL,
        "arm": "full",
        "seed": 0,
        "windows": folder / "windows.parquet",
        "weights": REPOSITORY / "weights/embedded" / MODEL,
        "settings": folder / "settings.json",
        "output": output,
    }
    preload = ",".join(run_imports(MODEL, "full"))
    command = [sys.executable, "-m", "workflow_scripts.runtime.warm", "--preload", preload, "run_arm"]
    command += [str(part) for name, value in arguments.items() for part in (f"--{name}", value)]
    threading = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    environment = {**os.environ, **threading, "PYTHONPATH": str(REPOSITORY), "VITALORA_WARM": str(owner)}
    # Threads that wait for each other do not take the cores from one another meanwhile.
    environment["OMP_WAIT_POLICY"] = "passive"
    subprocess.run(command, cwd=folder, env=environment, check=True)


def servers(owner: int) -> list[str]:
    """The command lines of servers that end with this process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
        except OSError:
            continue
        if "workflow_scripts.runtime.warm.server" in words and str(owner) in words:
            found.append(" ".join(words))
    return found


def files(output: Path) -> dict[str, Any]:
    """Every file that a run left; of its record, what was not measured by the clock or the kernel."""
    left: dict[str, Any] = {
        str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()
    }
    return left | {"run.json": without(json.loads(left.pop("run.json")), MEASURED)}


@pytest.mark.workflow
@pytest.mark.acceptance
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_run_leaves_the_files_of_a_plain_one(folder: Path, tmp_path: Path, threads: int) -> None:
    run(folder, tmp_path / "plain", owner=0, threads=threads)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner:
        for name in ("first", "second"):
            run(folder, tmp_path / name, owner=owner.pid, threads=threads)
        assert servers(owner.pid)
    plain = files(tmp_path / "plain")
    assert {"forecasts.parquet", "adapter/model.safetensors"} <= set(plain)
    assert files(tmp_path / "first") == plain
    assert files(tmp_path / "second") == plain
