"""A run that tracks itself while it is under way.

A run is not lost with its tracking: whatever fails in MLflow is logged as a warning and kept in
`TrackedRun.problems`, the work goes on, and `mirror` brings MLflow up to date later.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from workflow_scripts.runtime.process import Terminated, process_identity, terminable
from workflow_scripts.tracking.client import connect, search, short
from workflow_scripts.tracking.contents import Contents, log_values, store_artifact
from workflow_scripts.tracking.lifecycle import close, reason_of, supersede
from workflow_scripts.tracking.names import (
    KEY,
    KIND,
    PARENT,
    PROCESS,
    RECORD,
    key_text,
    run_name,
    sweep_key,
    texts,
)

LOG = logging.getLogger(__name__)


@contextmanager
def track_run(
    uri: str,
    key: Mapping[str, object],
    tags: Mapping[str, object] | None = None,
    parameters: Mapping[str, object] | None = None,
) -> Iterator["TrackedRun"]:
    """Record the block as one MLflow run below its sweep; it supersedes earlier runs of the same key.

    The run ends as FINISHED, as FAILED after an exception (with its kind and place, never its text, unless it
    is a UserError) or where its contents say so, or as KILLED after SIGTERM or Ctrl-C. A run that was killed at
    once is closed by the next `initialise`, `close_lost_runs` or run of the same key. Earlier runs of the key
    get MLflow's lifecycle stage "deleted": the default view shows one run for each key, a filter the others.

    Args:
        uri: MLflow tracking URI, made ready by `initialise`; empty: nothing is tracked.
        key: dataset, cohort, vital, model, arm, seed; the experiment has the data set's name.
        tags: further tags (git commit, hashes, family); None values are left out.
        parameters: settings, nested as they may be; None values are left out.
    """
    run = TrackedRun(uri)
    with terminable():
        try:
            run._start(dict(key), Contents(tags=tags or {}, parameters=parameters or {}))
            yield run
        except BaseException as error:
            killed = isinstance(error, KeyboardInterrupt | Terminated)
            run._end("KILLED" if killed else "FAILED", reason_of(error))
            raise
        run._end("FAILED" if run._failure else "FINISHED", run._failure or None)


class TrackedRun:
    """A run that `track_run` has begun.

    Attributes:
        run_id: MLflow's id, None where tracking is off or the run could not be begun.
        problems: what went wrong with tracking, in short words.
    """

    def __init__(self, uri: str) -> None:
        self.run_id: str | None = None
        self.problems: list[str] = []
        self._uri = uri
        self._client: Any = None
        self._parameters: Mapping[str, object] = {}
        self._failure = ""

    def finish(self, **contents: Any) -> None:
        """Log the results, in few calls, up to the first that fails.

        Args:
            contents: the fields of `Contents`.
        """
        self._finish(Contents(**contents))

    def _finish(self, contents: Contents) -> None:
        self._failure = contents.failure
        steps: list[tuple[str, Callable[[], None]]] = [
            ("logging results", partial(log_values, self._client, str(self.run_id), contents))
        ]
        steps += [
            (f"storing {folder}", partial(store_artifact, self._client, str(self.run_id), Path(folder), path))
            for folder, path in contents.artifacts.items()
        ]
        if contents.record:
            steps.append(("naming the record", partial(self._set_tag, RECORD, contents.record)))
        for action, work in steps:
            self._attempt(action, work)
            if self.problems:
                return

    def _start(self, key: dict[str, object], contents: Contents) -> None:
        if self._uri:
            self._attempt("starting the run", lambda: self._create(key, contents), begun=False)

    def _create(self, key: dict[str, object], contents: Contents) -> None:
        self._client = connect(self._uri)
        experiment = str(key["dataset"])
        found = self._client.get_experiment_by_name(experiment)
        if found is None:
            raise LookupError(
                f"no experiment {experiment}: run `python -m workflow_scripts.steps.init_tracking`"
            )
        sweeps = search(self._client, found.experiment_id, f"tags.`{KEY}` = '{key_text(sweep_key(key))}'")
        identity = {
            KEY: key_text(key),
            KIND: "run",
            PROCESS: json.dumps(process_identity()),
        }
        if sweeps:
            identity[PARENT] = sweeps[0].info.run_id
        run = self._client.create_run(
            found.experiment_id,
            tags={**texts(key), **texts(contents.tags), **identity},
            run_name=run_name(key),
        )
        self.run_id = run.info.run_id
        supersede(self._client, found.experiment_id, key_text(key))
        log_values(self._client, str(self.run_id), Contents(parameters=contents.parameters))

    def _set_tag(self, name: str, value: str) -> None:
        self._client.set_tag(self.run_id, name, value)

    def _end(self, status: str, reason: str | None = None) -> None:
        self._attempt("ending the run", lambda: close(self._client, str(self.run_id), status, reason))

    def _attempt(self, action: str, work: Callable[[], None], begun: bool = True) -> None:
        """Do the work, unless the run could not be begun; a failure is a warning and nothing more."""
        if begun and self.run_id is None:
            return
        try:
            work()
        except Exception as error:
            self.problems.append(f"{action}: {short(error)}")
            LOG.warning(
                "tracking: %s; run.json is complete nonetheless, and sync_tracking brings MLflow up to date",
                self.problems[-1],
            )
