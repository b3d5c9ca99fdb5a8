"""Every command of the documentation is run by a test, or says why not and is at least one that exists.

tests/helpers/documents.py explains the marks; tests/workflow/test_documented_commands.py runs what is to be run.
"""

import re
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser, parse_config
from typer.core import TyperGroup
from typer.main import get_command

from tests.helpers.documents import Block, blocks_of, pages
from tests.helpers.projects import ROOT
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.step import step_command
from workflow_scripts.settings import load_study

MARK = re.compile(r"run( on the demo)?|not run: \S.+|run by tests/\S+|file: \S+")
ASSIGNMENT = re.compile(r"[A-Z_]+=")
PROGRAMS = {
    "cd",
    "cat",
    "cp",
    "dvc",
    "echo",
    "export",
    "git",
    "grep",
    "head",
    "kubectl",
    "ln",
    "mlflow",
    "open",
    "pg_dump",
    "pip",
    "podman",
    "source",
    "ssh",
    "sudo",
    "umask",
}
OTHER_ENVIRONMENTS = {
    "uv",
    "python3.11",
    ".venv/tools/bin/pip",
    ".venv/tools/bin/pip-audit",
    ".venv/tools/bin/cyclonedx-py",
}
RULES = {
    name
    for path in (ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk"))
    for name in re.findall(
        r"^(?:use )?rule (?:\w+ as )?(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
    )
}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
PAGES = [pytest.param(path, id=path.name) for path in pages()]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_commands_says_what_a_test_does_with_it(page: Path) -> None:
    shells = [block for block in blocks_of(page) if block.is_shell]
    assert [block.text for block in shells if not MARK.fullmatch(block.mark)] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_stand_in_fenced_blocks_which_can_be_marked(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    commands = r"(?:[A-Z_]+=\S+ )?(?:snakemake|python|make|dvc|mlflow|pip|uv|export|git|source|pytest) "
    assert re.findall(rf"^ {{4,}}{commands}.*$", text, flags=re.MULTILINE) == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_are_not_run_exist_with_their_options_settings_and_targets(page: Path) -> None:
    for block in blocks_of(page):
        if block.is_shell and block.mark.startswith("not run"):
            for command in single_commands(block):
                check(command)


@pytest.mark.parametrize("page", PAGES)
def test_the_test_that_runs_a_block_reads_its_page(page: Path) -> None:
    for block in blocks_of(page):
        if block.mark.startswith("run by "):
            assert page.name in (ROOT / block.mark.removeprefix("run by ")).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "snakemake --cores 1 no_such_rule",
        "snakemake --cores all --config dataset=simulated no_such_setting=1",
        "snakemake --cores all --configfile params/missing.yaml",
        "python -m workflow_scripts.steps.show_summary --no-such-option",
        "python -m workflow_scripts.no_such_step",
        "python -m benchmarks.no_such_file",
        "python -m benchmarks.scoring windows --no-such-option",
        "python -m benchmarks.scoring no-such-command",
        "make no-such-target",
        "no-such-program",
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str) -> None:
    (command,) = single_commands(Block("", "bash", text))
    with pytest.raises((AssertionError, SystemExit, ModuleNotFoundError, OSError, UserError)):
        check(command)


def single_commands(block: Block) -> list[list[str]]:
    """The commands of a block without variables before them, split at && and cut at pipes and redirections."""
    found: list[list[str]] = []
    for words in block.commands:
        current: list[str] = []
        for word in [*words, "&&"]:
            if word in ("&&", "|", ">"):
                found.append(current)
                current = [] if word == "&&" else ["echo"]
            elif current or not ASSIGNMENT.match(word):
                current.append(word)
    return [words for words in found if words]


def check(words: list[str]) -> None:
    """Fail where a command names a program, an option, a setting or a target that does not exist."""
    program, *arguments = words
    if program == "command":
        program, *arguments = [word for word in arguments if word not in ("time", "-v")]
    if Path(program).name == "snakemake":
        check_snakemake(arguments)
    elif program == "make":
        assert {word for word in arguments if "=" not in word} <= TARGETS
    elif program == "python" and arguments[:1] == ["-m"] and arguments[1].startswith("workflow_scripts."):
        check_step(arguments[1], arguments[2:])
    elif program == "python" and arguments[:1] == ["-m"] and arguments[1].startswith("benchmarks."):
        check_benchmark(arguments[1], arguments[2:])
    elif program in ("python", "pytest") or program.startswith("./"):
        files = [word for word in (program, *arguments) if word.endswith(".py")]
        assert all((ROOT / word).is_file() for word in files)
    else:
        assert program in PROGRAMS | OTHER_ENVIRONMENTS or shutil.which(program)


def check_benchmark(module: str, arguments: list[str]) -> None:
    """The benchmark's own command line takes the command and its options."""
    command = get_command(import_module(module).app)
    try:
        context = command.make_context(module, [*arguments])
        if isinstance(command, TyperGroup):
            name, chosen, options = command.resolve_command(context, arguments)
            chosen.make_context(name, options)
    except Exception as error:
        raise AssertionError(f"{module} does not take {arguments}: {error}") from error


def check_step(module: str, arguments: list[str]) -> None:
    """The step's own command line takes the options."""
    name = module.removeprefix("workflow_scripts.steps.")
    function = getattr(import_module(f"workflow_scripts.steps.{name}"), name)
    try:
        step_command(function).make_context(name, arguments)
    except Exception as error:
        raise AssertionError(f"{name} does not take {arguments}: {error}") from error


def check_snakemake(arguments: list[str]) -> None:
    """Snakemake's own parser takes the options, the study's model the settings, and targets are rules or paths."""
    options = get_argument_parser().parse_args(arguments)
    study = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for path in options.configfile:
        study |= yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    load_study(study | parse_config(options.config))
    targets = {*(options.targets or ()), *(options.until or ())}
    assert {target for target in targets if "/" not in target} <= RULES
