"""The parts of the documentation that are made from the code: settings, commands, tables, licences."""

import inspect
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import TypeAdapter
from typer import Context, Option

from workflow_scripts.cohorts.labelling import AttritionRow
from workflow_scripts.evaluation.run_record import RunRecord
from workflow_scripts.evaluation.summary import TABLES
from workflow_scripts.evaluation.transfer_record import TransferRecord
from workflow_scripts.models.registry import SCRATCH_VARIANTS, VARIANTS
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import MADE_BY, require_own_file, write_text
from workflow_scripts.runtime.step import run_step, step_command
from workflow_scripts.settings import Study
from workflow_scripts.sources.mimic_iii.extraction import CHART_COLUMNS, KEPT_COLUMNS
from workflow_scripts.sources.mimic_iii.reading import arrow_schema
from workflow_scripts.sources.mimic_iii.vitals import VITALS_SCHEMA
from workflow_scripts.windows.reading import WINDOW_SCHEMA, WindowMetadata
from workflow_scripts.windows.selection_table import SelectionRow

if TYPE_CHECKING:
    import pyarrow as pa

ENVIRONMENTS = Path(__file__).parents[2] / "envs"
PIN_FILES = ("requirements.txt", "constraints.txt", "without_dependencies.txt")

LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "minItems": "entries: at least",
}
"""Keyword of a JSON schema -> the limit in words."""

Schema = dict[str, Any]


def document_reference(
    docs: Annotated[Path, Option(help="folder of the documentation, to write into")] = Path("docs"),
) -> None:
    """Write the parts of docs/*.md that are made from the code, and the JSON schema of params.yaml.

    A part is between `<!-- from the code: <name> -->` and `<!-- end -->`; the rest of a page is written by hand.

    Example:
        python -m workflow_scripts.steps.document_reference
    """
    schema = docs / "params.schema.json"
    require_own_file(schema)
    pages = {
        "parameters.md": {"settings": settings_tables()},
        "commands.md": {"commands": commands_help()},
        "tables.md": {
            "events": event_tables(),
            "windows": arrow_table(WINDOW_SCHEMA),
            "windows metadata": model_table(WindowMetadata, "key"),
            "cohort attrition": described_table(AttritionRow),
            "windows attrition": described_table(SelectionRow),
            "run record": model_table(RunRecord, "key"),
            "transfer record": model_table(TransferRecord, "key"),
            "summary": summary_tables(),
        },
        "dependencies.md": {"packages": package_licences(), "weights": weight_licences()},
    }
    filled = {docs / name: fill(docs / name, parts) for name, parts in pages.items()}
    for page, text in filled.items():
        write_text(page, text)
    content = {"$comment": MADE_BY} | Study.model_json_schema()
    write_text(schema, json.dumps(content, indent=2) + "\n")


def fill(page: Path, parts: dict[str, str]) -> str:
    """The page with these parts in place of what is between their marks. Raises UserError where a mark is missing."""
    if page.is_symlink() or not page.is_file():
        raise UserError(
            str(page), "no such file", "a page of the documentation", "name its folder with --docs"
        )
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        before, start, rest = text.partition(f"<!-- from the code: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->\n")
        if not end:
            raise UserError(
                str(page),
                f"no part `{name}`",
                f"the line {start or name} and a line <!-- end -->",
                "add them",
            )
        text = f"{before}{start}\n{part.strip()}\n\n{end}{after}"
    return text


def settings_tables() -> str:
    """A table of all settings for each group, those without a group first."""
    schema = Study.model_json_schema()
    groups = {name: field for name, field in schema["properties"].items() if "$ref" in field}
    plain = {name: field for name, field in schema["properties"].items() if name not in groups}
    parts = ["## Top level", _settings(plain)]
    for name, field in groups.items():
        text = field["description"]
        parts += [
            f"## `{name}`",
            f"{text[0].upper()}{text[1:]}.",
            _settings(_resolved(field, schema)["properties"]),
        ]
    return "\n\n".join(parts)


def _settings(fields: Schema) -> str:
    rows = [
        (f"`{name}`", f"`{json.dumps(field['default'])}`", _meaning(field)) for name, field in fields.items()
    ]
    return _table(("setting", "default", "meaning"), rows)


def _meaning(field: Schema) -> str:
    limits = [f"{words} {field[keyword]:g}" for keyword, words in LIMITS.items() if keyword in field]
    if "enum" in field:
        limits.append("one of " + ", ".join(f"`{value}`" for value in field["enum"]))
    return "; ".join([field["description"], *limits])


def commands_help() -> str:
    """The help of every step, 100 characters wide."""
    steps = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
    return "\n\n".join(f"## {step}\n\n```text\n{_help(step)}\n```" for step in steps)


def _help(step: str) -> str:
    module = f"workflow_scripts.steps.{step}"
    command = step_command(getattr(import_module(module), step))
    with Context(command, info_name=f"python -m {module}", terminal_width=100) as context:
        return command.get_help(context)


def event_tables() -> str:
    """The columns of every events table."""
    schemas = {table: arrow_schema(table, columns) for table, columns in KEPT_COLUMNS.items()}
    schemas |= {"clinical_chart": arrow_schema("chartevents", CHART_COLUMNS), "vitals": VITALS_SCHEMA}
    return "\n\n".join(f"### {name}\n\n{arrow_table(schema)}" for name, schema in schemas.items())


def arrow_table(schema: "pa.Schema") -> str:
    """The columns of a Parquet file with their types."""
    rows = [(f"`{field.name}`", f"`{field.type}`".replace("item: ", "")) for field in schema]
    return _table(("column", "type"), rows)


def summary_tables() -> str:
    """What every table of the summary is, and its columns."""
    return "\n\n".join(f"### {name}.csv\n\n{described_table(kind)}" for name, kind in TABLES.items())


def described_table(kind: type) -> str:
    """What a kind of row says of itself, and its columns."""
    return f"{inspect.cleandoc(kind.__doc__ or '')}\n\n{model_table(kind, 'column')}"


def model_table(kind: type, heading: str) -> str:
    """The fields of a typed model with their types; those of a part of it with a dot."""
    schema = TypeAdapter(kind).json_schema()
    return _table((heading, "type"), [(f"`{name}`", text) for name, text in _fields(schema, schema)])


def _fields(part: Schema, schema: Schema, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in part["properties"].items():
        below = [_resolved(each, schema) for each in field.get("anyOf", [field])]
        items = [_resolved(each["items"], schema) for each in below if "items" in each]
        if parts := [each for each in below if "properties" in each]:
            yield from _fields(parts[0], schema, f"{prefix}{name}.")
        elif parts := [each for each in items if "properties" in each]:
            yield from _fields(parts[0], schema, f"{prefix}{name}[].")
        else:
            yield f"{prefix}{name}", _type(field)


def _resolved(field: Schema, schema: Schema) -> Schema:
    """A field's own schema where it refers to a definition."""
    return schema["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else field


def _type(field: Schema) -> str:
    """A type of a JSON schema in words; what may be null may be empty."""
    if "anyOf" in field:
        return ", or ".join(map(_type, field["anyOf"]))
    if "prefixItems" in field:
        return f"[{'; '.join(map(_type, field['prefixItems']))}]"
    if "items" in field:
        return f"list of {_type(field['items'])}"
    kind = field.get("type", "any")
    return "empty" if kind == "null" else f"`{kind}`"


def package_licences() -> str:
    """The pinned packages by licence; direct dependencies in bold."""
    direct = {*pins("requirements.txt"), *pins("without_dependencies.txt")}
    packages = defaultdict(list)
    for name in sorted({name for file in PIN_FILES for name in pins(file)}, key=str.lower):
        packages[licence_of(name)].append(f"**{name}**" if name in direct else name)
    rows = [(licence, ", ".join(packages[licence])) for licence in sorted(packages, key=str.lower)]
    return _table(("licence", "packages"), rows)


def pins(name: str) -> dict[str, str]:
    """Package -> version, of a file of `envs/`."""
    lines = (ENVIRONMENTS / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {package: version for package, version in pairs}


def licence_of(package: str) -> str:
    """The licence that an installed package declares: as an expression, else in its classifiers, else in words."""
    declared = metadata(package)
    expression = next(iter(declared.get_all("License-Expression") or []), "")
    classifiers = declared.get_all("Classifier") or []
    named = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License :: ")]
    words = "".join(declared.get_all("License") or []).strip().splitlines()
    if expression or [name for name in named if name != "OSI Approved"]:
        return expression or ", ".join(named)
    return words[0] if words and len(words[0]) <= 60 else "not declared in its metadata"


def weight_licences() -> str:
    """The licence of each model family's weights, and what it restricts."""
    variants = [*VARIANTS.values(), *SCRATCH_VARIANTS.values()]
    rows = sorted({(entry.family, entry.licence, entry.restriction or "none") for entry in variants})
    return _table(("family", "licence", "restriction"), rows)


def _table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (heading, *rows)]
    return "\n".join([lines[0], "|---" * lines[0].count(" | ") + "|---|", *lines[1:]])


if __name__ == "__main__":
    run_step(document_reference)
