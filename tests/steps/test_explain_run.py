"""The printed record of a run: what it says, and how it refuses what is no record."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.study_records import run_record, write_record
from workflow_scripts.evaluation.run_record import RunRecord
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.settings import Study
from workflow_scripts.steps.explain_run import (
    curve,
    differences,
    explain,
    record_path,
    remake_command,
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def explained(**changes) -> str:
    path = write_record(Path("results/simulated/runs"), run_record(**changes))
    return "\n".join(explain(RunRecord.read(path), path))


@pytest.mark.usefixtures("project")
def test_a_record_is_told_with_units_counts_costs_and_files() -> None:
    text = explained()
    words = " ".join(text.split())
    for expected in (
        "chronos-t5-nano, lora-r2: heart_rate of the cohort explicit, simulated, seed 0",
        "training windows 900",
        "test windows 120 of 41 patients",
        "trainable parameters 3,072 of 300,000 (1.02 %)",
        "steps 120, stopped early; the best was 100",
        "4.6 at 0, 3.25 at 100, 3.3 at 120",
        "MSE, scaled series 8 x 1e-4",
        "MAE 6.788 bpm",  # 0.8 * sqrt(8e-4) * 300
        "coverage of the 80 % interval 77 %",
        "peak memory 612.5 MiB",
        "SHA-256 of the weights ba5eba5eba5e",
        "run_arm/explicit-heart_rate-chronos-t5-nano-lora-r2-seed0.log (not there)",
    ):
        assert expected in words
    assert "ba5e" * 4 not in text  # Hashes are shortened.
    paths = ("results/", "logs/", "  snakemake")
    assert max(len(line) for line in text.splitlines() if not any(path in line for path in paths)) <= 110


@pytest.mark.usefixtures("project")
def test_a_baseline_has_no_training_and_no_adapter() -> None:
    text = explained(model="persistence", arm="baseline")
    assert "nothing is trained" in text
    assert "adapter" not in text


@pytest.mark.usefixtures("project")
def test_a_run_that_learned_nothing_says_so() -> None:
    training = run_record()["training"] | {"best_step": 0}
    words = " ".join(explained(training=training).split())
    assert "none lowered the validation loss, so the forecasts are those of the untrained model" in words


@pytest.mark.usefixtures("project")
def test_a_failed_run_says_so_first() -> None:
    assert "FAILED: the loss was not finite" in explained(failure="the loss was not finite").splitlines()[1]


def test_only_settings_that_differ_are_told() -> None:
    defaults = Study().model_dump(mode="json")
    recorded = {"training": defaults["training"] | {"steps": 7}, "forecast": defaults["forecast"]}
    assert differences(recorded, defaults) == {"training": {"steps": 7}}


def test_the_command_that_makes_a_run_anew_gives_its_settings(project: Path) -> None:
    record = RunRecord.read(write_record(project / "runs", run_record(settings={"training": {"steps": 7}})))
    target = "results/simulated/runs/explicit/heart_rate/chronos-t5-nano/lora-r2/seed0/run.json"
    begin = ["snakemake", "--cores", "all", "--force"]
    given = shlex.split(remake_command(record))
    assert given == [*begin, "--config", 'training={"steps": 7}', "--", target]
    (project / "params.yaml").write_text("training: {steps: 7}")
    assert shlex.split(remake_command(record)) == [*begin, "--", target]
    (project / "params.yaml").write_text("{dataset: mimic-iii-demo, training: {steps: 7}}")
    assert shlex.split(remake_command(record)) == [*begin, "--config", "dataset=simulated", "--", target]


def test_a_curve_falls_as_its_losses_do() -> None:
    assert curve([(0, 8.0), (1, 1.0)]) == "█▁  8 at 0, 1 at 1, 1 at 1"
    assert curve([(step, 1.0) for step in range(1000)]).split()[0] == "▁" * 40
    assert curve([(0, 2.0), (5, None)]).startswith("▁!")
    assert curve([]) == "none"


def test_what_is_no_run_is_refused_with_the_way_to_a_run(tmp_path: Path) -> None:
    path = write_record(tmp_path / "runs", run_record())
    assert record_path(path) == record_path(path.parent) == path
    with pytest.raises(UserError, match=r"but .*seed0/run\.json below"):
        record_path(tmp_path / "runs")
    with pytest.raises(UserError, match=r"no run\.json there"):
        record_path(tmp_path / "nowhere")
    path.write_text(path.read_text()[:200])
    with pytest.raises(UserError, match="no complete JSON"):
        RunRecord.read(path)
    record = run_record()
    del record["hashes"]
    record["counts"]["test_windows"] = "many"
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"counts\.test_windows: .*; hashes: Field required"):
        RunRecord.read(path)


def test_the_program_ends_with_one_message_where_there_is_no_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workflow_scripts.steps.explain_run", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {tmp_path}\n  found:      no run.json there")
