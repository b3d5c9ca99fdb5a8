"""`python -m workflow_scripts.<step> --help` of every step: what it does, defaults, an example that works."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

import workflow_scripts

STEPS = sorted(
    path.stem
    for path in (Path(workflow_scripts.__file__).parent / "steps").glob("*.py")
    if "    run_step(main" in path.read_text(encoding="utf-8")
)


class ParsingError(Exception):
    """Raised instead of parsing, with the parser."""


@pytest.fixture(params=STEPS)
def step(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def parser(step: str) -> argparse.ArgumentParser:
    """The parser that a step's main function makes."""

    def stop(self: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise ParsingError(self)

    main = importlib.import_module(f"workflow_scripts.steps.{step}").main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(ParsingError) as caught:
            main()
    return caught.value.args[0]


def examples(text: str) -> list[list[str]]:
    """The commands that a help text gives as examples, split as a shell splits them."""
    _, _, section = text.partition("\nExample")
    commands = re.findall(r"^ *(python -m (?:.*\\\n)*.*)$", section, flags=re.MULTILINE)
    return [shlex.split(command.replace("\\\n", " "), comments=True) for command in commands]


def test_every_step_module_was_found() -> None:
    assert {"run_arm", "extract_events", "show_summary", "explain_run"} <= set(STEPS)


def test_help_says_what_the_step_does_and_what_every_option_means(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == parser.format_help()
    assert re.match(r"[A-Z].{20}", parser.description or "")
    assert [action.dest for action in parser._actions if not action.help] == []


def test_help_shows_the_default_of_every_option_that_has_one(parser: argparse.ArgumentParser) -> None:
    with_default = [
        action for action in parser._actions if action.nargs != 0 and action.default not in (None, "", [])
    ]
    silent = [action.dest for action in with_default if "default" not in str(action.help)]
    assert silent == []


def test_the_example_of_the_help_is_a_command_that_the_step_takes(
    step: str, parser: argparse.ArgumentParser
) -> None:
    commands = examples(parser.format_help())
    assert commands
    for command in commands:
        assert command[:3] == ["python", "-m", f"workflow_scripts.steps.{step}"]
        parser.parse_args(command[3:])
