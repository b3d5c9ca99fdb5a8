"""MLflow's server: how this process becomes it."""

import os
import sys
from collections.abc import Mapping, Sequence

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""No word to others, no unpickling, no jobs of its own."""


def become_server(options: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Replace this process by `mlflow server`.

    options: of its command line, which every user of the machine can read.
    environment: further variables; secrets go here.
    """
    os.environ.update({**ENVIRONMENT, **(environment or {})})
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *options])
