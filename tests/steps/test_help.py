"""`python -m workflow_scripts.steps.<step> --help` of every step: what it does, defaults, an example that works."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from typer import Context
from typer.core import TyperCommand, TyperOption

import workflow_scripts
from workflow_scripts.runtime.step import step_command

STEPS = sorted(
    path.stem
    for path in (Path(workflow_scripts.__file__).parent / "steps").glob("*.py")
    if path.stem != "__init__"
)


@pytest.fixture(params=STEPS)
def step(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def command(step: str) -> TyperCommand:
    """The command line of a step."""
    return step_command(getattr(importlib.import_module(f"workflow_scripts.steps.{step}"), step))


def help_of(command: TyperCommand) -> str:
    with Context(command, info_name="step") as context:
        return command.get_help(context)


def examples(text: str) -> list[list[str]]:
    """The commands that a help text gives as examples, split as a shell splits them."""
    _, _, section = text.partition("  Example:\n")
    commands = re.findall(r"^ *(python -m (?:.*\\\n)*.*)$", section, flags=re.MULTILINE)
    return [shlex.split(command.replace("\\\n", " "), comments=True) for command in commands]


def test_every_step_is_run_by_the_function_of_its_name(step: str) -> None:
    source = (Path(workflow_scripts.__file__).parent / "steps" / f"{step}.py").read_text(encoding="utf-8")
    assert re.search(rf'\n\nif __name__ == "__main__":\n    run_step\({step}(, online=True)?\)\n$', source)


def test_help_says_what_the_step_does_and_what_every_option_means(
    command: TyperCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"], prog_name="step")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert re.match(r"Usage: step \[OPTIONS\].*\n\n  [A-Z].{20}", shown)
    options = [option for option in command.params if isinstance(option, TyperOption)]
    assert [option.name for option in options if not option.help] == []
    assert [option.name for option in options if f" {option.opts[0]}" not in shown] == []


def test_help_shows_the_default_of_every_option_that_has_one(command: TyperCommand) -> None:
    shown = "".join(help_of(command).split())  # A long default is broken into lines.
    with_default = [
        option for option in command.params if not option.required and option.default not in (None, "", False)
    ]
    silent = [
        option.name
        for option in with_default
        if f"[default:{''.join(str(option.default).split())}" not in shown
    ]
    assert silent == []


def test_the_example_of_the_help_is_a_command_that_the_step_takes(step: str, command: TyperCommand) -> None:
    commands = examples(help_of(command))
    assert commands
    for words in commands:
        assert words[:3] == ["python", "-m", f"workflow_scripts.steps.{step}"]
        command.make_context("step", words[3:])
