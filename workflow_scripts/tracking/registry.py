"""The model registry: the best adapter of each sweep, under the alias `best`."""

from contextlib import suppress
from typing import Any

ALIAS = "best"


def register(client: Any, name: str, run_id: str, folder: str, description: str) -> bool:
    """Make a run's folder of artifacts the model's version that the alias `best` points to; say whether anew.

    The folder itself is the model: safetensors and JSON, no pickle and no code. Versions whose run was
    superseded are removed: their files are gone.

    Args:
        client: MLflow's client.
        name: the registered model's name.
        run_id: the run that made the adapter.
        folder: the adapter's folder among the run's artifacts.
        description: Markdown.
    """
    from mlflow.exceptions import MlflowException

    model = None
    with suppress(MlflowException):
        model = client.get_registered_model(name)
    if model is None:
        client.create_registered_model(name, description=description)
    current = model.aliases.get(ALIAS) if model else None
    versions = client.search_model_versions(f"name = '{name}'") if model else []
    same = [each for each in versions if each.run_id == run_id]
    if same and str(same[0].version) == str(current):
        return False
    if model is not None and model.description != description:
        client.update_registered_model(name, description)
    version = (
        same[0]
        if same
        else client.create_model_version(name, f"runs:/{run_id}/{folder}", run_id, description=description)
    )
    client.set_registered_model_alias(name, ALIAS, version.version)
    for each in versions:
        if each.version != version.version and not _is_active(client, each.run_id):
            client.delete_model_version(name, each.version)
    return True


def _is_active(client: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False
