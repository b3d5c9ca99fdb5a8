"""No command deletes or changes what it did not make, and each refuses before it reads anything.

The commands and their outputs are found in the steps' signatures: an output's help has the words "to write". Every
input that a command is given is missing: a command that read first would complain about that.
"""

import inspect
import os
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from workflow_scripts import steps
from workflow_scripts.runtime.errors import UserError

COMMANDS = {
    path.stem: getattr(import_module(f"workflow_scripts.steps.{path.stem}"), path.stem)
    for path in sorted(Path(steps.__file__).parent.glob("[!_]*.py"))
}

INPUTS = {
    *(
        "settings",
        "records",
        "record",
        "runs",
        "windows",
        "own_windows",
        "values",
        "cohort",
        "cohorts",
        "attrition",
    ),
    *(
        "definition",
        "events",
        "raw",
        "summary",
        "weights",
        "adapter",
        "input",
        "params",
        "project",
        "results",
        "root",
    ),
    *("known_truth", "certificate", "key", "run", "other", "lock", "stays", "reading"),
}
"""Options with paths that are read. An option of any other name must say in its help that it is written."""

NAMES: dict[str, Any] = {
    "dataset": "simulated",
    "vital": "heart_rate",
    "model": "moirai-nano",
    "arm": "lora-r2",
    "cohort": "sepsis3",
    "source": "missing",
}
"""Options that are looked at before anything is read."""

BYSTANDERS = (
    *("notes.txt", "PATIENTS.csv.gz", "ADMISSIONS.csv", "vitals.parquet", "stays.parquet", "metrics.csv"),
    *("accounts.ini", "parameters.md", "params.schema.json", "run.json", "config.json"),
)
"""Files of somebody else, under names that commands write too."""


def is_path(annotation: Any) -> bool:
    kind = get_args(annotation)[0]
    return kind is Path or Path in get_args(kind)


def path_options(command: str) -> dict[str, str]:
    """The options of a command that are paths: name -> help."""
    found = {}
    for name, parameter in inspect.signature(COMMANDS[command]).parameters.items():
        if is_path(parameter.annotation):
            found[name] = get_args(parameter.annotation)[1].help
    return found


OUTPUTS = [
    (command, option)
    for command in COMMANDS
    for option, text in path_options(command).items()
    if "to write" in text
]


def run(command: str, option: str, output: Path, fresh: Path) -> None:
    """Call a command with this output, all other outputs in a fresh folder, and inputs that are missing."""
    options: dict[str, Any] = {}
    for name, parameter in inspect.signature(COMMANDS[command]).parameters.items():
        kind = get_args(parameter.annotation)[0]
        if name == option:
            options[name] = output
        elif parameter.default is not inspect.Parameter.empty:
            continue
        elif is_path(parameter.annotation):
            path = fresh / f"{name}.csv" if (command, name) in OUTPUTS else Path("missing")
            options[name] = [path] if get_origin(kind) is list else path
        else:
            options[name] = NAMES.get(name, 3 if kind is int else "missing")
    COMMANDS[command](**options)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files of somebody else, a folder of them, and links to both."""
    for folder in (tmp_path / "work", tmp_path / "work" / "thesis"):
        folder.mkdir()
        for name in BYSTANDERS:
            (folder / name).write_text(f"my {name}")
    (tmp_path / "work" / "link").symlink_to("thesis")
    (tmp_path / "work" / "link.csv").symlink_to("metrics.csv")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_path_that_a_command_is_given_is_an_input_or_says_that_it_is_written(command: str) -> None:
    for option, text in path_options(command).items():
        assert "to write" in text or option in INPUTS, option


def test_the_commands_that_write_are_found() -> None:
    # The commands of which the report said that they erased somebody's folder.
    erased = ("prepare_weights", "choose_adapter", "simulate_monitor", "pretrain_model")
    assert {(command, "output") for command in erased} <= set(OUTPUTS)


@pytest.mark.parametrize(
    "output", ["notes.txt", "thesis", ".", "link", "link.csv", "notes.txt/below"], ids=str
)
@pytest.mark.parametrize(("command", "option"), OUTPUTS, ids=str)
def test_nothing_of_somebody_else_is_written_over(
    command: str, option: str, output: str, project: Path
) -> None:
    before = contents(project)
    with pytest.raises(UserError) as refused:
        run(command, option, Path(output), project / "fresh")
    assert refused.value.where.startswith(str(Path(output)) if output != "." else "")
    assert "choose another name; nothing was read or written" in refused.value.remedy
    assert contents(project) == before


@pytest.mark.parametrize(("command", "option"), OUTPUTS, ids=str)
def test_a_read_only_parent_is_named_before_anything_is_read(
    command: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    # As the system answers to everybody but the administrator.
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != tmp_path / "closed" and allowed(path, mode)
    )
    with pytest.raises(UserError, match="cannot be written"):
        run(command, option, tmp_path / "closed" / "new", tmp_path / "fresh")
    assert not any((tmp_path / "closed").iterdir())


@pytest.mark.parametrize(("output", "figure"), [("series.csv", None), ("new.csv", "photo.png")])
def test_a_forecast_replaces_neither_its_input_nor_a_picture(
    output: str, figure: str | None, tmp_path: Path
) -> None:
    for name in ("series.csv", "photo.png"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="this command did not make it"):
        COMMANDS["forecast"](
            model="moirai-nano",
            input=tmp_path / "series.csv",
            horizon=3,
            output=tmp_path / output,
            figure=tmp_path / figure if figure else None,
        )
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}


def test_the_figures_beside_a_page_of_results_are_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "figures" / "page").mkdir(parents=True)
    (tmp_path / "figures" / "page" / "drawing.svg").write_text("mine")
    with pytest.raises(UserError, match="files that no command of vitalora made"):
        COMMANDS["document_results"](dataset="simulated", output=tmp_path / "page.md", project=tmp_path)
    assert contents(tmp_path) == {"figures/page/drawing.svg": "mine"}
