"""Brings an experiment in MLflow up to date with the records of a study, each exactly once.

A run in MLflow is a page: of a finished run, or of a sweep, in which its runs are nested. It carries a hash of what it
was made from. Where a complete page has that hash nothing is written; a page with another hash is replaced. So
repeating changes nothing, and the next time completes what was interrupted.
"""

import hashlib
import json
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.tracking.pages import ARCHIVE, Links, Page, experiment_description, run_page, sweep_page
from workflow_scripts.tracking.registry import register, withdraw
from workflow_scripts.tracking.store import Experiment, active_runs, delete_run
from workflow_scripts.tracking.sweeps import Sweep

if TYPE_CHECKING:
    from mlflow.entities import Run

KEY, KIND, RECORD = "vitalora.key", "kind", "vitalora.record"
"""Tags: what identifies a page; `run` or `sweep`; the hash of the run.json, or of the sweep's page."""
SUPERSEDED_BY = "vitalora.superseded_by"
DESCRIPTION, PARENT = "mlflow.note.content", "mlflow.parentRunId"
"""MLflow's own tags."""

METRICS_PER_BATCH, PARAMS_PER_BATCH = 900, 100
"""MLflow takes 1,000 items in one call, of them 100 parameters."""

ARTIFACT_SUFFIXES = {".safetensors", ".json", ".md"}
"""The only files that become artifacts: no table of rows, no pickle."""


class Mirror:
    """One experiment in MLflow. written: how many pages, descriptions and models were written or deleted."""

    def __init__(self, experiment: Experiment) -> None:
        self.written = 0
        self._client = experiment.client
        self._experiment_id = experiment.id
        self._shown: dict[str, list[Run]] = defaultdict(list)
        for run in active_runs(experiment):
            self._shown[run.data.tags.get(KEY, "")].append(run)

    def show(self, dataset: str, sweeps: Sequence[Sweep], windows: Path | None, may_register: bool) -> None:
        """Show the sweeps, their finished runs, what is recommended and the experiment's description.

        windows: folder of the windows, see `run_page`. may_register: whether adapters may become registered models.
        """
        ids: dict[Path, str] = {}
        for sweep in sweeps:
            page = sweep_page(sweep)
            content = json.dumps([page.status, page.tags, page.metrics, page.description], sort_keys=True)
            digest = hashlib.sha256(content.encode()).hexdigest()
            parent = self._keep(page.key, self._find(page.key, digest) or self._create(page, digest))
            for run in sweep.runs:
                key, record = vars(run.record.key), file_hash(run.path)
                shown = self._find(key, record) or self._create(run_page(run, windows), record, parent)
                ids[run.path] = self._keep(key, shown, parent)
            best = sweep.best_run()
            if may_register and not sweep.missing:
                self.written += (
                    register(self._client, sweep, best, ids[best.path])
                    if best
                    else withdraw(self._client, sweep)
                )
        self._describe(experiment_description(dataset, sweeps, Links(self._experiment_id, ids)))

    def forget_deleted_records(self, runs: Path, sweeps: Sequence[Sweep]) -> None:
        """Delete every run whose record is gone, and every sweep that has neither runs nor a place in the study.

        runs: the folder that holds <cohort>/<vital>/<model>/<arm>/seed<k>/run.json. sweeps: the study's.
        """
        shown = [run for found in self._shown.values() for run in found]
        used = {_key_text(sweep.key) for sweep in sweeps}
        for run in shown:
            tags = run.data.tags
            if tags.get(KIND) == "run":
                names = (tags["cohort"], tags["vital"], tags["model"], tags["arm"], f"seed{tags['seed']}")
                if runs.joinpath(*names, "run.json").exists():
                    used.add(
                        _key_text({name: tags[name] for name in ("dataset", "cohort", "vital", "model")})
                    )
                else:
                    self._delete(run)
        for run in shown:
            if run.data.tags.get(KIND) == "sweep" and run.data.tags[KEY] not in used:
                self._delete(run)

    def _find(self, key: Mapping[str, object], record: str) -> "Run | None":
        """The complete page of a key that was made from this record; None where there is none."""
        for run in self._shown[_key_text(key)]:
            if run.data.tags.get(RECORD) == record and run.info.status != "RUNNING":
                return run
        return None

    def _keep(self, key: Mapping[str, object], kept: "Run", parent: str = "") -> str:
        """Delete all other pages of a key and nest the kept one in its parent; return MLflow's id of it.

        The others are of earlier records, half written, or written twice by two machines.
        """
        run_id = str(kept.info.run_id)
        for run in self._shown[_key_text(key)]:
            if run is not kept:
                self._client.set_tag(run.info.run_id, SUPERSEDED_BY, run_id)
                self._delete(run)
        self._shown[_key_text(key)] = [kept]
        if kept.data.tags.get(PARENT, "") != parent:
            self._client.set_tag(run_id, PARENT, parent)
            self.written += 1
        return run_id

    def _create(self, page: Page, record: str, parent: str = "") -> "Run":
        """Make a run in MLflow. Its status is written last: one that is still RUNNING is half written."""
        tags = {
            **texts(page.key),
            **texts(page.tags),
            KEY: _key_text(page.key),
            KIND: "run" if parent else "sweep",
            RECORD: record,
            DESCRIPTION: page.description,
            **({PARENT: parent} if parent else {}),
        }
        made = self._client.create_run(self._experiment_id, page.started, tags, page.name)
        run_id = made.info.run_id
        self._log(run_id, page)
        for folder, path in page.artifacts.items():
            for file in _files(path):
                self._client.log_artifact(run_id, str(file), folder)
        if page.archived and (files := _files(page.archived)):
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder, ARCHIVE)
                with zipfile.ZipFile(archive, "w") as packed:
                    for file in files:
                        packed.write(file, f"adapter/{file.name}")
                self._client.log_artifact(run_id, str(archive))
        if page.status == "SCHEDULED":
            self._client.update_run(run_id, page.status)
        else:
            self._client.set_terminated(run_id, page.status, page.ended)
        self.written += 1
        return made

    def _log(self, run_id: str, page: Page) -> None:
        """Write metrics, curves, parameters and the data set, in as few calls as MLflow's limits allow."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        curves = {name: [(0, value)] for name, value in page.metrics.items()} | dict(page.curves)
        metrics = [
            Metric(name, float(value), page.ended, step)
            for name, curve in curves.items()
            for step, value in curve
            if value is not None
        ]
        params = [Param(name, value) for name, value in texts(page.parameters).items()]
        while metrics or params:
            self._client.log_batch(run_id, metrics[:METRICS_PER_BATCH], params[:PARAMS_PER_BATCH])
            del metrics[:METRICS_PER_BATCH], params[:PARAMS_PER_BATCH]
        if page.dataset:
            context = [InputTag("mlflow.data.context", "training and test")]
            self._client.log_inputs(run_id, [DatasetInput(Dataset(**page.dataset), context)])

    def _describe(self, description: str) -> None:
        experiment = self._client.get_experiment(self._experiment_id)
        if experiment.tags.get(DESCRIPTION) != description:
            self._client.set_experiment_tag(self._experiment_id, DESCRIPTION, description)
            self.written += 1

    def _delete(self, run: "Run") -> None:
        delete_run(self._client, run)
        self.written += 1


def texts(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten nested values into dotted names and texts; None is left out."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= texts(value, f"{prefix}{name}.")
        elif value is not None:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _files(path: Path) -> list[Path]:
    """A file, or the files of a folder, without those that may not become artifacts."""
    found = [path] if path.is_file() else sorted(path.glob("*"))
    return [file for file in found if file.suffix in ARTIFACT_SUFFIXES and not file.name.startswith(".")]


def _key_text(key: Mapping[str, object]) -> str:
    return "/".join(f"{name}={value}" for name, value in sorted(key.items()))
