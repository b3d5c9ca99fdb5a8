"""What every step module shares: its settings file and its way to end."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import read_json
from workflow_scripts.runtime.storage import refusal_of_storage


def read_settings(path: Path) -> dict[str, Any]:
    """Return the parameter groups of a step's settings file, as the workflow wrote it.

    The file holds {"code": hash of the code that the step depends on, "parameters": {group: {...}}}.
    Raises UserError where there is no such file.
    """
    try:
        return read_json(path)["parameters"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            where=str(path),
            found=f"no readable settings file ({type(error).__name__})",
            expected="JSON with `code` and `parameters`, as the workflow writes it before the step",
            remedy="start the workflow, which writes it, or give the right file with --settings",
        ) from None


def keep_to_itself(online: bool = False) -> None:
    """Let no library report its use, nor reach the model hub; to be called before they are imported."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if not online:
        os.environ["HF_HUB_OFFLINE"] = "1"


def run_step(main: Callable[[], None], online: bool = False) -> None:
    """Run a step's main function; what the user can mend ends it with one message and exit code 1.

    online: whether the step may reach the model hub. No library does so behind the back of any other step.
    """
    keep_to_itself(online)
    # Files with rows of patients are for their owner only.
    os.umask(0o077)
    # The imports of large libraries make objects by the million that live as long as the process. Looking for
    # garbage among them, during the imports and once more at the end, would be a third of a short job.
    gc.set_threshold(100_000, 50, 100)
    try:
        main()
        if "duckdb" not in sys.modules:  # Its binding would call every object that is left a leak.
            gc.freeze()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        print(f"error: the settings file, {error.title}: {'; '.join(problems)}", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception as error:
        refusal = refusal_of_storage(error)
        if refusal is None:
            raise
        print(f"error: {refusal}", file=sys.stderr)
        raise SystemExit(1) from None
