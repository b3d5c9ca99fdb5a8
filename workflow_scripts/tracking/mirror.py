"""Brings MLflow up to date with records of finished runs, each exactly once, and with what follows from them."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workflow_scripts.tracking.client import connect, search
from workflow_scripts.tracking.contents import Contents, log_values, store_artifact
from workflow_scripts.tracking.lifecycle import close, put_away, remove_artifacts
from workflow_scripts.tracking.names import (
    DESCRIPTION,
    KEY,
    KIND,
    PARENT,
    RECORD,
    SUPERSEDED_BY,
    Key,
    key_text,
    run_name,
    sweep_key,
    sweep_name,
    texts,
)


@dataclass(frozen=True)
class FinishedRun:
    """A run as its record tells it.

    started, ended: milliseconds since 1970. record: the hash of run.json. contents: makes, for as long as a
    `with` block lasts, what MLflow shall show; it is called only where the run is not there yet.
    """

    key: Key
    record: str
    started: int
    ended: int
    contents: Callable[[], AbstractContextManager[Contents]]


class Mirror:
    """One experiment in MLflow, made to show what the records say.

    Attributes:
        runs: MLflow's run id of every finished run, by its key's text.
        sweeps: MLflow's run id of every sweep, by its key's text.
        written: how many runs, sweeps, texts and models had to be written.
    """

    def __init__(self, uri: str, experiment_id: str) -> None:
        self.client = connect(uri)
        self.experiment_id = experiment_id
        self.runs: dict[str, str] = {}
        self.sweeps: dict[str, str] = {}
        self.written = 0
        self._shown: dict[str, list[Any]] = defaultdict(list)
        for run in search(self.client, experiment_id):
            self._shown[run.data.tags.get(KEY, "")].append(run)

    def add_sweeps(self, keys: Iterable[Key]) -> None:
        """Make the parent run of every sweep that has none. SCHEDULED: it runs nothing itself."""
        for text, key in {key_text(key): key for key in keys}.items():
            shown = self._shown[text]
            if not shown:
                tags = {**texts(key), KEY: text, KIND: "sweep"}
                shown.append(self.client.create_run(self.experiment_id, tags=tags, run_name=sweep_name(key)))
                self.client.update_run(shown[0].info.run_id, status="SCHEDULED")
                self.written += 1
            self.sweeps[text] = self._only(shown).info.run_id

    def add_run(self, run: FinishedRun) -> None:
        """Show a finished run below its sweep; what is there already stays as it is."""
        text = key_text(run.key)
        parent = self.sweeps[key_text(sweep_key(run.key))]
        shown = self._shown[text]
        complete = [
            each
            for each in shown
            if each.data.tags.get(RECORD) == run.record and each.info.status in ("FINISHED", "FAILED")
        ]
        kept = max(complete, key=_age, default=None) or self._write(run, parent)
        put_away(self.client, [each for each in shown if each is not kept], kept.info.run_id)
        self._shown[text] = [kept]
        if kept.data.tags.get(PARENT) != parent:
            self.client.set_tag(kept.info.run_id, PARENT, parent)
            self.written += 1
        self.runs[text] = kept.info.run_id

    def show_sweep(self, key: Key, contents: Contents, ended: int, done: bool) -> None:
        """Give a sweep's run what its children found; done: no child is missing."""
        (run,) = self._shown[key_text(key)]
        status = "FINISHED" if done else "SCHEDULED"
        digest = _digest(contents)
        if run.data.tags.get(RECORD) == digest and run.info.status == status:
            return
        tags = {**contents.tags, RECORD: digest}
        log_values(self.client, run.info.run_id, replace(contents, tags=tags))
        if done:
            close(self.client, run.info.run_id, status, ended=max(ended, run.info.start_time))
        else:
            self.client.update_run(run.info.run_id, status=status)
        self.written += 1

    def show_experiment(self, tags: Mapping[str, str], prefix: str, description: str) -> None:
        """Give the experiment its description and tags; tags with the prefix that are not named are removed."""
        experiment = self.client.get_experiment(self.experiment_id)
        wanted = {**tags, DESCRIPTION: description}
        for name, value in wanted.items():
            if experiment.tags.get(name) != value:
                self.client.set_experiment_tag(self.experiment_id, name, value)
                self.written += 1
        for name in experiment.tags:
            if name.startswith(prefix) and name not in wanted:
                self.client.delete_experiment_tag(self.experiment_id, name)
                self.written += 1

    def remove_leftovers(self) -> None:
        """Remove artifacts that a superseded run stored after it was put away."""
        for run in search(self.client, self.experiment_id, deleted=True):
            if SUPERSEDED_BY in run.data.tags:
                remove_artifacts(run)

    def _only(self, shown: list[Any]) -> Any:
        """The oldest of several sweeps of one key; the others are put away."""
        shown.sort(key=_age)
        put_away(self.client, shown[1:], shown[0].info.run_id)
        del shown[1:]
        return shown[0]

    def _write(self, run: FinishedRun, parent: str) -> Any:
        """Make a run from its record; its hash is written last, so that half a run is never taken for one."""
        text = key_text(run.key)
        tags = {**texts(run.key), KEY: text, KIND: "run", PARENT: parent}
        made = self.client.create_run(
            self.experiment_id, start_time=run.started, tags=tags, run_name=run_name(run.key)
        )
        run_id = made.info.run_id
        with run.contents() as contents:
            log_values(self.client, run_id, contents)
            for folder, path in contents.artifacts.items():
                store_artifact(self.client, run_id, Path(folder), path)
        status = "FAILED" if contents.failure else "FINISHED"
        close(self.client, run_id, status, contents.failure or None, run.ended)
        self.client.set_tag(run_id, RECORD, run.record)
        self.written += 1
        return made


def _digest(contents: Contents) -> str:
    """A hash of everything that a sweep's page shows."""
    shown = [contents.metrics, contents.tags, contents.description]
    return hashlib.sha256(json.dumps(shown, sort_keys=True, default=str).encode()).hexdigest()


def _age(run: Any) -> tuple[int, str]:
    return run.info.start_time, run.info.run_id
