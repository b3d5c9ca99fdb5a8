"""Find what killed jobs, power failures and wrong clocks left among the results; delete it when asked."""

import os
import shlex
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from workflow_scripts.runtime.completeness import incomplete_files
from workflow_scripts.runtime.files import is_left_over
from workflow_scripts.runtime.step import run_step
from workflow_scripts.runtime.storage import future_files

RECORDS = ("run.json", "record.json", "choice.json", "provenance.json")
"""A folder with one of these is the work of one job and is made again as a whole."""

FOLDERS_OF_ONE_JOB = ("arms", "plots", "figures")
"""Folders that are one output of a rule."""


def repair_results(
    delete: Annotated[
        bool,
        typer.Option(
            "--delete", help="delete what is listed, and give files from the future the present time"
        ),
    ] = False,
) -> None:
    """List incomplete results, temporary files that nobody writes any more, and files with times in the future.

    Looks into data/ (of data/raw, only into what the workflow simulates), weights/prepared, weights/pretrained and
    results/. With an incomplete file goes all that its job made, and the commands that make it again are printed.
    Exits with 1 where something was found and not repaired.

    Example:
        python -m workflow_scripts.steps.repair_results
    """
    folders = result_folders()
    now = time.time()
    broken = [path for path in incomplete_files(folders) if path.parent.name != "settings"]
    left_over = [path for folder in folders for path in folder.rglob(".*.part") if is_left_over(path)]
    future = list(future_files(folders, now))
    for paths, what in ((broken, "incomplete"), (left_over, "left over"), (future, "in the future")):
        for path in paths:
            print(f"{what}: {path}")
    if not (broken or left_over or future):
        print("every result is complete, nothing is left over, no time lies in the future")
        return
    outputs = list(dict.fromkeys(map(output_of, broken)))
    if delete:
        for path in {*map(folder_or_file, broken), *left_over}:
            remove(path)
        for path in future:
            if path.exists():
                os.utime(path, (now, now))
        print(
            f"deleted: {len(broken)} incomplete files with what their jobs made, {len(left_over)} left over"
        )
    for command in commands(outputs):
        print(f"to make them again: {command}")
    if not delete:
        print("to delete them: python -m workflow_scripts.steps.repair_results --delete")
        raise SystemExit(1)


def result_folders() -> list[Path]:
    """The folders whose files the workflow makes; no raw data of the user's."""
    data = [path for path in sorted(Path("data").glob("*")) if path.name not in ("raw", "settings")]
    simulated = [Path("data/raw/simulated"), Path("data/raw/simulated-monitor")]
    weights = [Path("weights/prepared"), Path("weights/pretrained")]
    return [path for path in (*data, *simulated, *weights, Path("results")) if path.is_dir()]


def folder_or_file(path: Path) -> Path:
    """What is deleted with an incomplete file: the folder of its job where Snakemake would not miss the file alone."""
    for folder in path.parents:
        if folder.name in FOLDERS_OF_ONE_JOB or any((folder / name).exists() for name in RECORDS):
            return folder
    return path


def output_of(path: Path) -> Path:
    """The file or folder by which Snakemake makes an incomplete file again."""
    unit = folder_or_file(path)
    if unit.parts[0] == "weights":
        return unit / "model.safetensors"
    return next((unit / name for name in RECORDS if (unit / name).exists()), unit)


def remove(path: Path) -> None:
    """Delete a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def commands(outputs: list[Path]) -> list[str]:
    """One command for each data set; what belongs to none goes with the first."""
    datasets: dict[str, list[str]] = {}
    for path in outputs:
        datasets.setdefault(dataset_of(path), []).append(shlex.quote(str(path)))
    return [
        f"snakemake --cores all{f' --config dataset={dataset}' if dataset else ''} -- all {' '.join(paths)}"
        for dataset, paths in datasets.items()
    ]


def dataset_of(path: Path) -> str:
    """The data set of a result; empty for weights, which all share."""
    parts = path.parts
    if parts[0] == "weights":
        return ""
    return parts[2] if parts[1] == "raw" else parts[1]


if __name__ == "__main__":
    run_step(repair_results)
