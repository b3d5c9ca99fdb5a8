"""The pages that are made from the code say what the code says, no more and no less."""

import inspect
import json
import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel
from typer.core import TyperOption

from tests.helpers.documents import DOCS
from tests.helpers.projects import ROOT
from workflow_scripts.evaluation.summary import TABLES
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import MADE_BY
from workflow_scripts.runtime.step import step_command
from workflow_scripts.settings import Study
from workflow_scripts.steps.document_reference import fill

STEPS = sorted(path.stem for path in (ROOT / "workflow_scripts/steps").glob("[a-z]*.py"))
STUDIES = [ROOT / "params.yaml", *sorted((ROOT / "params").glob("*.yaml"))]
REMEDY = "run python -m workflow_scripts.steps.document_reference"


def sections(page: str, heading: str = "## ") -> dict[str, str]:
    """Heading -> the text below it."""
    text = (DOCS / page).read_text(encoding="utf-8")
    parts = re.split(rf"^{heading}(.+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def first_cells(section: str) -> list[str]:
    """The names in the first column of a section's tables."""
    return re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)


def in_one_line(text: str) -> str:
    """Without the white space by which help is broken into lines; also that of words broken at their hyphen."""
    return re.sub(r"\s+", "", text)


def test_the_page_of_commands_has_every_step_and_no_other() -> None:
    assert list(sections("commands.md")) == STEPS, REMEDY


@pytest.mark.parametrize("step", STEPS)
def test_the_page_of_commands_has_what_a_step_does_and_all_its_options(step: str) -> None:
    section = sections("commands.md")[step]
    function = getattr(import_module(f"workflow_scripts.steps.{step}"), step)
    assert in_one_line(inspect.getdoc(function)) in in_one_line(section), REMEDY
    options = [each for each in step_command(function).params if isinstance(each, TyperOption)]
    listed = section.partition("\nOptions:\n")[2]
    assert re.findall(r"^  (--[\w-]+)", listed, re.MULTILINE) == [each.opts[0] for each in options] + [
        "--help"
    ]
    for option in options:
        assert in_one_line(option.help or "") in in_one_line(listed), REMEDY


def test_the_page_of_parameters_has_every_setting_with_its_default_and_meaning() -> None:
    page = sections("parameters.md")
    groups = {
        name: field.annotation.model_fields
        for name, field in Study.model_fields.items()
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel)
    }
    top = {name: field for name, field in Study.model_fields.items() if name not in groups}
    assert list(page) == ["Top level", *(f"`{name}`" for name in groups)], REMEDY
    for settings, section in zip([top, *groups.values()], page.values(), strict=True):
        assert first_cells(section) == list(settings), REMEDY
        for name, field in settings.items():
            assert f"| `{name}` | `{json.dumps(field.default)}` | {field.description}" in section, REMEDY


def test_limits_and_choices_of_settings_are_on_the_page() -> None:
    page = sections("parameters.md")
    assert "number of simulated patients; at least 20 |" in page["`simulator`"]
    assert "; one of `exact`, `frozen` |" in page["`forecast`"]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_schema_takes_every_study_and_refuses_what_is_misspelt(path: Path) -> None:
    schema = json.loads((DOCS / "params.schema.json").read_text(encoding="utf-8"))
    study = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    jsonschema.validate(study, schema)
    with pytest.raises(jsonschema.ValidationError, match="modles"):
        jsonschema.validate(study | {"modles": []}, schema)


def test_the_schema_has_every_setting() -> None:
    schema = json.loads((DOCS / "params.schema.json").read_text(encoding="utf-8"))
    assert schema == {"$comment": MADE_BY} | Study.model_json_schema(), REMEDY


@pytest.mark.parametrize("name", TABLES)
def test_the_page_of_tables_has_every_column_of_the_summary(name: str) -> None:
    section = sections("tables.md", "### ")[f"{name}.csv"]
    assert first_cells(section) == [field.name for field in fields(TABLES[name])], REMEDY
    assert inspect.cleandoc(TABLES[name].__doc__) in section, REMEDY


def test_a_part_is_replaced_and_what_is_written_by_hand_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("by hand\n<!-- from the code: one -->\nold\n<!-- end -->\nmore by hand\n")
    assert fill(page, {"one": "new"}) == (
        "by hand\n<!-- from the code: one -->\n\nnew\n\n<!-- end -->\nmore by hand\n"
    )


def test_a_page_without_the_place_for_a_part_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("by hand\n")
    with pytest.raises(UserError, match=r"page\.md[\s\S]*no part `one`"):
        fill(page, {"one": "new"})
