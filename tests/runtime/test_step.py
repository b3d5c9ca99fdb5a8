"""A step's function is its command line; what goes wrong ends with one message and an exit code."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel
from typer import Option

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.step import read_settings, run_step, step_command


class Windows(BaseModel):
    """Settings of one group."""

    context: int


def cut_windows(
    own_windows: Annotated[Path, Option(help="a path")],
    quantiles: Annotated[list[float] | None, Option(help="a level, once for each")] = None,
    scale: Annotated[tuple[float, float] | None, Option(metavar="LOW HIGH", help="a range")] = None,
    sampler: Annotated[Literal["exact", "frozen"], Option(help="how")] = "exact",
) -> None:
    """Cut windows.

    Example:
        python -m workflow_scripts.steps.cut_windows \\
            --own-windows windows.parquet
    """
    if own_windows.name == "missing":
        raise UserError(str(own_windows), "nothing", "a file of windows", "make it first")
    if own_windows.name == "impossible":
        Windows.model_validate({"context": "long"})
    if own_windows.name == "full":
        raise OSError(28, os.strerror(28), str(own_windows))
    print(repr((own_windows, quantiles, scale, sampler)))


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the step with options: its exit code, standard output and standard error."""
    monkeypatch.setattr(os, "umask", lambda _: None)
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "1")

    def run(*options: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cut_windows", *options])
        with pytest.raises(SystemExit) as ended:
            run_step(cut_windows)
        return ended.value.code, *capsys.readouterr()

    return run


def test_options_come_as_typed_values(end) -> None:
    levels = ("--quantiles", "0.1", "--quantiles", "0.9", "--scale", "0", "300", "--sampler", "frozen")
    expected = (Path("a.parquet"), [0.1, 0.9], (0.0, 300.0), "frozen")
    assert end("--own-windows", "a.parquet", *levels) == (0, f"{expected!r}\n", "")


def test_what_is_left_out_has_its_default(end) -> None:
    assert end("--own-windows", "a.parquet")[1] == f"{(Path('a.parquet'), None, None, 'exact')!r}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--own-window", "a.parquet"], "No such option: --own-window (Possible options: --own-windows)"),
        ([], "Missing option '--own-windows'"),
        (["--own-windows", "a.parquet", "--sampler", "both"], "'both' is not one of 'exact', 'frozen'"),
        (["--own-windows", "a.parquet", "--scale", "0"], "--scale"),
    ],
)
def test_a_wrong_option_ends_with_2_and_says_what_is_right(end, options: list[str], message: str) -> None:
    code, printed, said = end(*options)
    assert (code, printed) == (2, "")
    assert message in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "make it first"),
        ("impossible", "the settings file, Windows: context: Input should be a valid integer"),
        ("full", "then start the same command again"),
    ],
)
def test_what_the_user_can_fix_ends_with_1_and_one_message(end, name: str, message: str) -> None:
    code, printed, said = end("--own-windows", name)
    assert (code, printed) == (1, "")
    assert said.startswith("error: ")
    assert message in said
    assert "Traceback" not in said


def test_the_help_keeps_the_lines_of_the_example() -> None:
    with step_command(cut_windows).make_context("step", ["--own-windows", "a"]) as context:
        text = context.get_help()
    assert text.startswith("Usage: step [OPTIONS]\n\n  Cut windows.\n")
    assert (
        "      python -m workflow_scripts.steps.cut_windows \\\n          --own-windows windows.parquet\n"
        in text
    )


def test_settings_that_cannot_be_read_are_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    for content in ("", "{", '{"code": "c0de"}', "[]"):
        path.write_text(content)
        with pytest.raises(UserError, match=r"settings\.json[\s\S]*start the workflow"):
            read_settings(path)
    path.write_text('{"code": "c0de", "parameters": {"windows": {"context": 24}}}')
    assert read_settings(path) == {"windows": {"context": 24}}
