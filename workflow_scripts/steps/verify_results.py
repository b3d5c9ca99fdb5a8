"""Stored results, checked against the files that they were made of."""

import itertools
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

import pyarrow.parquet as pq
from typer import Option

from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.cohorts.definitions import DEFINITION, definition_fingerprint
from workflow_scripts.evaluation.sites import run_folder, split_site, windows_file
from workflow_scripts.evaluation.transfer_plan import Transfer
from workflow_scripts.evaluation.transfer_windows import read_transfer_windows
from workflow_scripts.evaluation.verification import adapter_hash, verify_run, verify_transfer
from workflow_scripts.models.registry import VARIANTS
from workflow_scripts.models.sources import local_inventory
from workflow_scripts.models.weights import PREPARED_FOLDER, PROVENANCE, WEIGHTS
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json, read_yaml
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
from workflow_scripts.sources.source import source_of
from workflow_scripts.windows.reading import Windows, read_windows


def verify_results(
    params: Annotated[Path, Option(help="settings of the study, YAML")] = Path("params.yaml"),
    dataset: Annotated[str | None, Option(help="data set to verify (default: that of the settings)")] = None,
) -> None:
    """Check every stored result against the files it was made of, without training anything.

    Reads the source again, the raw files or your own tables, the SQL of the cohorts, and the weights that a path names,
    and names every windows file, run, cohort and folder of weights that was made of another content. Recomputes the
    hashes of windows, base weights and code and compares them with the record of each run, and of each adapter's
    evaluation on another cohort; checks that forecasts and adapters are the files that their run wrote; scores all
    stored forecasts again against the stored windows. Where the study is under DVC, `dvc status` says
    whether dvc.lock still describes the files. Prints one line for each problem; exits with 1 if there is any.

    Example:
        python -m workflow_scripts.steps.verify_results --dataset simulated
    """
    study = _read_study(params, dataset)
    sources, outdated = _sources(study), _outdated_cohorts(study) + _outdated_weights(study)
    for path, problem in _outdated_windows(study, sources) + outdated:
        print(f"{path}: {problem}")
    if not all(sources.values()):
        print(f"{study.source().raw_folder}: not here, so nothing was compared with it")
    runs, transfers = study.runs(), study.transfers()
    everything: list[Run | Transfer] = [*runs, *transfers]
    wrong = [
        (job, problem)
        for job in progress(everything, "verifying", unit="run")
        for problem in _problems(study.dataset, job, sources)
    ]
    for job, problem in wrong:
        print(f"{_name(job)}: {problem}")
    failed = {job for job, _ in wrong}
    for jobs, kind in ((runs, "runs"), (transfers, "transfers")):
        if jobs:
            reproduced = len(set(jobs) - failed)
            print(f"{reproduced} of {len(jobs)} {kind} of {study.dataset} reproduced from their files")
    print(_dvc_status())
    if wrong or outdated:
        raise UserError(
            where=f"results/{study.dataset}",
            found=f"{len(failed)} runs that their files do not reproduce"
            + (f", {len(outdated)} cohorts or weights older than what they are made of" if outdated else ""),
            expected="the source, windows, weights, code, records, forecasts and adapters of one study",
            remedy="start the workflow again: it repeats runs whose data, weights or code have changed; delete the "
            "folder of a run whose own files were changed",
        )


def _read_study(params: Path, dataset: str | None) -> Study:
    values = read_yaml(params, "the settings of the study") or {}
    return load_study(values | ({"dataset": dataset} if dataset else {}), str(params))


def _name(job: Run | Transfer) -> str:
    *folders, seed = vars(job).values()
    return f"{'/'.join(folders)}/seed{seed}"


def _sources(study: Study) -> dict[str, str | None]:
    """The fingerprint of what the windows of each cohort and site come from now; None where it is not here."""
    found = {}
    for name in (*study.cohorts, *study.sites):
        dataset, cohort = split_site(name, study.dataset)
        source = source_of(dataset, study.sources.get(dataset))
        found[name] = source.fingerprint(cohort) if source.raw_folder.exists() else None
    return found


def _outdated_windows(study: Study, sources: Mapping[str, str | None]) -> list[tuple[Path, str]]:
    """The windows files that were made of another content of the source than it has now."""
    return [
        (windows, f"older than {study.source().raw_folder}, which held something else when it was read")
        for cohort, vital in itertools.product(study.cohorts, study.vitals)
        if (windows := windows_file(study.dataset, cohort, vital)).is_file()
        and sources[cohort] not in (None, _split(windows, "test").metadata.source)
    ]


def _outdated_cohorts(study: Study) -> list[tuple[Path, str]]:
    """The cohort tables that other SQL labelled than their definition has now."""
    source, found = study.source(), []
    for cohort in study.cohorts if source.labels_cohorts else ():
        path, own = Path(source.cohort.format(cohort=cohort)), study.own_cohorts.get(cohort)
        labelled = (pq.read_schema(path).metadata or {}).get(DEFINITION, b"") if path.is_file() else None
        if labelled is not None and labelled.decode() != definition_fingerprint(cohort, own):
            found.append(
                (path, f"older than {own or f'the definition {cohort}'}, which was another one then")
            )
    return found


def _outdated_weights(study: Study) -> list[tuple[Path, str]]:
    """The folders of prepared weights whose source is a path that holds something else by now."""
    found = []
    for model, source in study.weights.items():
        now = local_inventory(VARIANTS[model], source)
        record = PREPARED_FOLDER / model / PROVENANCE
        if now and record.is_file() and read_json(record).get("read") != now:
            found.append((record.parent, f"older than {source}, which held something else when it was read"))
    return found


def _problems(dataset: str, job: Run | Transfer, sources: Mapping[str, str | None]) -> list[str]:
    if isinstance(job, Transfer):
        return _transfer_problems(dataset, job, sources)
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
            **_source_hash(sources[job.cohort]),
            "windows": _file_hash(windows),
            "weights": _weights_hash(job.model),
        },
    )


def _source_hash(now: str | None) -> dict[str, str]:
    """The source's entry of a record's hashes, where the source can be read."""
    return {"source": now} if now else {}


def _transfer_problems(dataset: str, job: Transfer, sources: Mapping[str, str | None]) -> list[str]:
    record = Path("results", dataset, "transfer", _name(job), "record.json")
    run = Run(job.trained_on, job.vital, job.model, job.arm, job.seed)
    adapter = run_folder(dataset, **vars(run)) / "adapter"
    windows = windows_file(dataset, job.evaluated_on, job.vital)
    own_windows = windows_file(dataset, job.trained_on, job.vital)
    if missing := _missing(record, windows, own_windows):
        return missing
    hashes = {
        "code": step_code_hash(transfer_code(job.model, Arm.parse(job.arm))),
        **_source_hash(sources[job.evaluated_on]),
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
