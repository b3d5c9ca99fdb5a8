"""A tiny study to injure, and the comparison of what becomes of it with what an undisturbed one leaves."""

import csv
import json
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import yaml

from tests.helpers.patient_data import assert_message_without_patient_data, assert_no_patient_data
from tests.helpers.projects import TINY_STUDY, run_in

STUDY = TINY_STUDY | {
    "models": ["moirai-nano"],
    "baselines": ["persistence"],
    "ranks": [2],
    "training": TINY_STUDY["training"] | {"checkpoint_seconds": 0, "from_scratch": "shared"},
    "forecast": TINY_STUDY["forecast"] | {"batch_size": 40},
    "evaluation": {"resamples": 200},
}
"""Its runs are the tiny study's, with settings that change no result (tests/workflow/test_same_answer.py)."""
UNTRACKED = STUDY | {"tracking": {"uri": ""}}
"""The same runs, sooner, where the fault concerns neither MLflow nor what a killed job left there."""
ORDINARY = ("snakemake", "--cores", "2")
RESULTS = Path("results/simulated")
LORA = RESULTS / "runs/sepsis3/heart_rate/moirai-nano/lora-r2/seed0"
SUMMARY = RESULTS / "summary"
COSTS = ("second", "mib", "finished_at", "git_commit")
"""Parts of the names of columns that tell of the machine and the time."""


class LostError(AssertionError):
    """A fault after which work was lost or repeated, or something was left behind."""


class SilentlyWrongError(AssertionError):
    """A fault after which a number differs and nothing says so."""


def copy_study(source: Path, target: Path) -> Path:
    """A copy with all times, and the workflow's memory."""
    shutil.copytree(source, target, symlinks=True)
    return target


def set_study(folder: Path, study: dict[str, object]) -> None:
    """Give a project the settings of a study."""
    (folder / "params.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")


def run_again(folder: Path, *targets: str) -> str:
    """Run the ordinary command, which must succeed; return what it said."""
    try:
        done = run_in(folder, *ORDINARY, *targets)
    except AssertionError as error:
        raise LostError(f"the ordinary command fails: {error}") from None
    return done.stdout + done.stderr


def refused_once(folder: Path, *targets: str) -> str:
    """Run the ordinary command, which must end with one message and no traceback; return it."""
    done = run_in(folder, *ORDINARY, *targets, expect=1)
    text = done.stdout + done.stderr
    if "Traceback" in text:
        raise LostError(f"a traceback instead of a message: {text}")
    assert_message_without_patient_data(text)
    assert_no_patient_data([folder / "logs", folder / ".snakemake/log"], folder, "simulated")
    return text


def compare(folder: Path, undisturbed: Path) -> None:
    """Raise where the end state differs from the undisturbed one, or anything is left to do or left behind."""
    if numbers(folder) != numbers(undisturbed):
        raise SilentlyWrongError("tables, forecasts or adapters differ from the undisturbed run's")
    left = leftovers(folder)
    if left:
        raise LostError(f"left behind: {left}")
    if tracked(folder) != tracked(undisturbed):
        raise LostError(f"MLflow shows {tracked(folder)}, not {tracked(undisturbed)}")
    planned = run_in(folder, *ORDINARY, "--dry-run").stdout
    if "Nothing to be done" not in planned:
        raise LostError(f"something is left to do: {planned}")
    assert_no_patient_data(
        [folder / "logs", folder / SUMMARY, folder / ".snakemake/log"], folder, "simulated"
    )


def compare_part(folder: Path, undisturbed: Path, place: str) -> None:
    """The same for a part of the study, made again by its name: a place holds what it holds in the undisturbed one."""
    made = contents(folder, place)
    if not made:
        raise LostError(f"nothing in {place}")
    expected = contents(undisturbed, place)
    different = [name for name, content in made.items() if content != expected.get(name)]
    if different:
        raise SilentlyWrongError(f"differ from the undisturbed run's: {different}")
    if leftovers(folder):
        raise LostError(f"left behind: {leftovers(folder)}")
    if "RUNNING" in tracked(folder):
        raise LostError("MLflow shows a run that is still running")
    assert_no_patient_data([folder / "logs", folder / ".snakemake/log"], folder, "simulated")


def contents(folder: Path, place: str) -> dict[str, object]:
    """Tables without costs, data and weights byte by byte; records, which tell of times, are left out."""
    return {
        str(path.relative_to(folder)): rows_without_costs(path)
        if path.suffix == ".csv"
        else path.read_bytes()
        for path in sorted((folder / place).rglob("*"))
        if path.suffix in (".csv", ".gz", ".parquet", ".safetensors")
    }


def rows_without_costs(path: Path) -> list[dict[str, str]]:
    """The rows of a table without what the clock and the kernel measured."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: value for name, value in row.items() if not any(cost in name for cost in COSTS)}
            for row in csv.DictReader(file)
        ]


def numbers(folder: Path) -> dict[str, object]:
    """All that must not differ: tables without costs, and the hashes of forecasts and adapters."""
    tables: dict[str, object] = {
        path.name: rows_without_costs(path) for path in sorted((folder / SUMMARY).glob("*.csv"))
    }
    for path in sorted((folder / RESULTS / "runs").rglob("run.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        tables[str(path.relative_to(folder))] = [
            record["hashes"]["forecasts"],
            record["hashes"]["adapter"],
            record["metrics"],
        ]
    return tables


def leftovers(folder: Path) -> list[str]:
    """Unfinished files and checkpoints."""
    places = [folder / name for name in ("data", "results", "weights/prepared")]
    return [
        str(path.relative_to(folder))
        for place in places
        for path in place.rglob("*")
        if path.suffix == ".part" or path.name == "checkpoints"
    ]


def tracked(folder: Path) -> Counter[str]:
    """How many runs MLflow shows in each state."""
    with sqlite3.connect(folder / "mlflow.db") as store:
        rows = store.execute("select status from runs where lifecycle_stage = 'active'").fetchall()
    return Counter(status for (status,) in rows)
