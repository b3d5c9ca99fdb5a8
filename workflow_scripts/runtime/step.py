"""What every step shares: a command line made from its function's signature, its settings file, how it ends."""

import gc
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError
from typer import Typer
from typer.core import TyperCommand
from typer.main import get_command

from workflow_scripts.runtime.completeness import incomplete_input
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


def disable_network(online: bool = False) -> None:
    """Switch off the libraries' telemetry and access to the model hub; call it before they are imported.

    online: whether the step may reach the model hub.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if not online:
        os.environ["HF_HUB_OFFLINE"] = "1"


def step_command(function: Callable[..., None]) -> TyperCommand:
    """The command line of a step: its parameters are the options, its docstring is the help.

    A parameter is Annotated with `typer.Option(help=...)`. The docstring ends with an example, after a line `Example:`.
    """
    help_text = inspect.cleandoc(function.__doc__ or "")
    # Click joins the lines of a paragraph, except after this mark.
    help_text = help_text.replace("\nExample:\n", "\n\b\nExample:\n")
    app = Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=help_text, context_settings={"max_content_width": 100})(function)
    command = get_command(app)
    assert isinstance(command, TyperCommand)
    return command


def run_step(function: Callable[..., None], online: bool = False) -> None:
    """Run a step with the options of the command line, then end the process.

    function: named like its module in workflow_scripts/steps. An error that the user can fix ends with one message and
    exit code 1, a wrong option with exit code 2.
    online: whether the step may reach the model hub. No other step can, whatever its libraries try.
    """
    disable_network(online)
    # Files with rows of patients are readable by their owner only.
    os.umask(0o077)
    # Importing large libraries creates millions of objects that live as long as the process. Collecting garbage among
    # them, during the imports and at the end, would take a third of a short job.
    gc.set_threshold(100_000, 50, 100)
    try:
        step_command(function).main(prog_name=f"python -m workflow_scripts.steps.{function.__name__}")
    except UserError as error:
        _fail(str(error))
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        _fail(f"the settings file, {error.title}: {'; '.join(problems)}")
    except Exception as error:
        explained = refusal_of_storage(error) or missing_package(error) or incomplete_input(sys.argv[1:])
        if explained is None:
            raise
        _fail(str(explained))
    finally:
        gc.freeze()
        _end_output()


def missing_package(error: Exception) -> UserError | None:
    """An error that a package is not installed, as a user should read it; None for any other error."""
    if (
        not isinstance(error, ModuleNotFoundError)
        or not error.name
        or error.name.startswith("workflow_scripts")
    ):
        return None
    package = error.name.partition(".")[0]
    return UserError(
        where=f"Python package {package}",
        found=f"it is not installed for {sys.executable}",
        expected="the environment that `make env` sets up from envs/requirements.txt",
        remedy=f"run `make env`, or install the package (pip install {package})",
    )


def _end_output() -> None:
    """Write what is still to be printed; whoever read it may have left, as `head` does."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1) from None
