"""The model registry: what is recommended of each sweep, under the alias `recommended`."""

from typing import TYPE_CHECKING

from workflow_scripts.tracking.pages import model_description
from workflow_scripts.tracking.sweeps import StoredRun, Sweep

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "recommended"


def register(client: "MlflowClient", sweep: Sweep, best: StoredRun, run_id: str) -> bool:
    """Let the alias of the sweep's model point to its best run's adapter; return whether anything was written.

    The folder `adapter` among the run's artifacts is the model. Versions of deleted runs are removed: their files are
    gone.
    """
    description = model_description(sweep, best)
    name = _name(sweep)
    found = client.search_registered_models(f"name = '{name}'")
    if not found:
        client.create_registered_model(name, description=description)
    versions = client.search_model_versions(f"name = '{name}'")
    made = next((version for version in versions if version.run_id == run_id), None)
    if found and made and str(found[0].aliases.get(ALIAS)) == str(made.version):
        return False
    client.update_registered_model(name, description)
    if made is None:
        made = client.create_model_version(name, f"runs:/{run_id}/adapter", run_id, description=description)
    client.set_registered_model_alias(name, ALIAS, made.version)
    for version in versions:
        if version.run_id != run_id and client.get_run(version.run_id).info.lifecycle_stage == "deleted":
            client.delete_model_version(name, version.version)
    return True


def withdraw(client: "MlflowClient", sweep: Sweep) -> bool:
    """Take the alias from the sweep's model, where nothing with an adapter is recommended any more."""
    name = _name(sweep)
    found = client.search_registered_models(f"name = '{name}'")
    if not found or ALIAS not in found[0].aliases:
        return False
    client.delete_registered_model_alias(name, ALIAS)
    return True


def _name(sweep: Sweep) -> str:
    return f"{sweep.model}.{sweep.vital}.{sweep.cohort}.{sweep.dataset}"
