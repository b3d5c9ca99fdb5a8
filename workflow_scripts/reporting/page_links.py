"""Links within MLflow's pages. They stay in its workflow for model training; it has another for chat models."""

import json
from urllib.parse import urlencode

WORKFLOW = {"workflowType": "machine_learning"}


def run_link(experiment_id: str, run_id: str, part: str = "") -> str:
    """The page of a run, or a part of it: `/artifacts/adapter`."""
    return _link(f"experiments/{experiment_id}/runs/{run_id}{part}")


def view_link(experiment_id: str, view: str) -> str:
    """The table of runs under a saved view."""
    return _link(f"experiments/{experiment_id}/runs", viewStateShareKey=view)


def compare_link(experiment_id: str, run_ids: list[str]) -> str:
    """Runs side by side."""
    lists = {"runs": run_ids, "experiments": [experiment_id]}
    return _link("compare-runs", **{name: json.dumps(values) for name, values in lists.items()})


def _link(path: str, **query: str) -> str:
    return f"#/{path}?{urlencode({**query, **WORKFLOW})}"
