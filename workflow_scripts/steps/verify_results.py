"""Stored results, checked against the files that they were made of."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from typer import Option

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.evaluation.sites import run_folder, split_site, windows_file
from workflow_scripts.evaluation.transfer_plan import Transfer
from workflow_scripts.evaluation.transfer_windows import read_transfer_windows
from workflow_scripts.evaluation.verification import adapter_hash, verify_run, verify_transfer
from workflow_scripts.models.weights import PREPARED_FOLDER, WEIGHTS
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.runtime.progress import progress
from workflow_scripts.runtime.step import run_step
from workflow_scripts.settings import (
    Run,
    Study,
    load_study,
    run_code,
    step_code_hash,
    transfer_code,
    weights_folder_of,
)
from workflow_scripts.windows.reading import Windows, read_windows


def verify_results(
    params: Annotated[Path, Option(help="settings of the study, YAML")] = Path("params.yaml"),
    dataset: Annotated[str | None, Option(help="data set to verify (default: that of the settings)")] = None,
) -> None:
    """Check every stored result against the files it was made of, without training anything.

    Recomputes the hashes of windows, base weights and code and compares them with the record of each run, and of each
    adapter's evaluation on another cohort; checks that forecasts and adapters are the files that their run wrote;
    scores all stored forecasts again against the stored windows. Where the study is under DVC, `dvc status` says
    whether dvc.lock still describes the files. Prints one line for each problem; exits with 1 if there is any.

    Example:
        python -m workflow_scripts.steps.verify_results --dataset simulated
    """
    study = _read_study(params, dataset)
    runs, transfers = study.runs(), study.transfers()
    everything: list[Run | Transfer] = [*runs, *transfers]
    wrong = [
        (job, problem)
        for job in progress(everything, "verifying", unit="run")
        for problem in _problems(study.dataset, job)
    ]
    for job, problem in wrong:
        print(f"{_name(job)}: {problem}")
    failed = {job for job, _ in wrong}
    for jobs, kind in ((runs, "runs"), (transfers, "transfers")):
        if jobs:
            reproduced = len(set(jobs) - failed)
            print(f"{reproduced} of {len(jobs)} {kind} of {study.dataset} reproduced from their files")
    print(_dvc_status())
    if wrong:
        raise UserError(
            where=f"results/{study.dataset}",
            found=f"{len(failed)} runs that their files do not reproduce",
            expected="the records, forecasts, adapters, windows, weights and code of one study",
            remedy="start the workflow again: it repeats runs whose data, weights or code have changed; delete the "
            "folder of a run whose own files were changed",
        )


def _read_study(params: Path, dataset: str | None) -> Study:
    try:
        values = yaml.safe_load(params.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise UserError(
            str(params),
            f"no readable YAML ({type(error).__name__})",
            "the settings of the study",
            "give --params",
        ) from None
    return load_study(values | ({"dataset": dataset} if dataset else {}), str(params))


def _name(job: Run | Transfer) -> str:
    *folders, seed = vars(job).values()
    return f"{'/'.join(folders)}/seed{seed}"


def _problems(dataset: str, job: Run | Transfer) -> list[str]:
    if isinstance(job, Transfer):
        return _transfer_problems(dataset, job)
    record = Path("results", dataset, "runs", _name(job), "run.json")
    windows = windows_file(dataset, job.cohort, job.vital)
    if missing := _missing(record, windows):
        return missing
    return verify_run(
        record,
        _split(windows, "test"),
        _split(windows, "validation"),
        {
            "code": _code(job.model, Arm.parse(job.arm)),
            "windows": _file_hash(windows),
            "weights": _weights_hash(job.model),
        },
    )


def _transfer_problems(dataset: str, job: Transfer) -> list[str]:
    record = Path("results", dataset, "transfer", _name(job), "record.json")
    run = Run(job.trained_on, job.vital, job.model, job.arm, job.seed)
    adapter = run_folder(dataset, **vars(run)) / "adapter"
    windows = windows_file(dataset, job.evaluated_on, job.vital)
    own_windows = windows_file(dataset, job.trained_on, job.vital)
    if missing := _missing(record, windows, own_windows):
        return missing
    hashes = {
        "code": step_code_hash(transfer_code(job.model, Arm.parse(job.arm))),
        "windows": _file_hash(windows),
        "own_windows": _file_hash(own_windows),
        "weights": _weights_hash(job.model),
        "adapter": adapter_hash(adapter),
    }
    same_dataset = split_site(job.trained_on, dataset)[0] == split_site(job.evaluated_on, dataset)[0]
    test = read_transfer_windows(windows, own_windows, same_dataset=same_dataset)
    return verify_transfer(record, test, hashes)


def _missing(*paths: Path) -> list[str]:
    missing = [str(path) for path in paths if not path.is_file()]
    return [f"no {', no '.join(missing)}"] if missing else []


_file_hash = cache(file_hash)


@cache
def _split(windows: Path, name: str) -> Windows:
    return read_windows(windows, (name,))


@cache
def _code(model: str, arm: Arm) -> str:
    return step_code_hash(run_code(model, arm))


@cache
def _weights_hash(model: str) -> str | None:
    if weights_folder_of(model) is None:
        return None
    path = PREPARED_FOLDER / str(weights_folder_of(model)) / WEIGHTS
    return file_hash(path) if path.is_file() else "missing"


def _dvc_status() -> str:
    """What DVC says of dvc.lock, in one line."""
    if not Path("dvc.lock").is_file():
        return "dvc.lock: there is none; `dvc repro` or `dvc commit` puts the results under DVC"
    command = [sys.executable, "-m", "dvc", "status"]
    status = subprocess.run(command, capture_output=True, text=True, check=False)
    if status.returncode:
        return f"dvc.lock: not checked, `dvc status` ended with {status.returncode}"
    if "up to date" in status.stdout:
        return "dvc.lock: all data, weights and results have the recorded hashes"
    stages = [
        line.rstrip(":") for line in status.stdout.splitlines() if line and not line.startswith((" ", "\t"))
    ]
    return f"dvc.lock: differs in {', '.join(stages)}; `dvc status` says where, `dvc commit` records what is there"


if __name__ == "__main__":
    run_step(verify_results)
