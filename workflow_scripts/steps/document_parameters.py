"""The reference of all settings."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from typer import Option

from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.parameters import Parameters
from workflow_scripts.runtime.step import run_step
from workflow_scripts.settings import Study

HEADING = """# Parameters

`params.yaml` is the only configuration. Every setting may be left out; unknown keys and impossible values are
refused, all at once, before anything runs. This page and `params.schema.json` (for completion in editors) are made by
`python -m workflow_scripts.steps.document_parameters`; a test fails when they drift from the code.
"""


def document_parameters(
    output: Annotated[Path, Option(help="folder of both files")] = Path("docs"),
) -> None:
    """Write docs/parameters.md and the JSON schema of params.yaml from the one model that checks it.

    Example:
        python -m workflow_scripts.steps.document_parameters
    """
    write_text(output / "parameters.md", parameters_page())
    write_text(output / "params.schema.json", parameters_schema())


def parameters_page() -> str:
    """The reference of all settings, in Markdown: one table for each group."""
    groups = {name: field for name, field in Study.model_fields.items() if _is_group(field)}
    plain = {name: field for name, field in Study.model_fields.items() if name not in groups}
    parts = [HEADING, "## Top level\n", _table(plain)]
    for name, field in groups.items():
        group: Any = field.annotation
        parts += [f"## `{name}`\n", f"{_sentence(field.description)}\n", _table(group.model_fields)]
    return "\n".join(parts)


def parameters_schema() -> str:
    """The JSON schema of params.yaml."""
    return json.dumps(Study.model_json_schema(), indent=2) + "\n"


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Parameters)


def _table(fields: dict[str, FieldInfo]) -> str:
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {_default(field)} | {_meaning(field)} |" for name, field in fields.items()]
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    return f"`{json.dumps(field.default)}`"


def _meaning(field: FieldInfo) -> str:
    limits = [_limit(limit) for limit in field.metadata if _limit(limit)]
    if get_origin(field.annotation) is Literal:
        limits.append("one of " + ", ".join(f"`{value}`" for value in get_args(field.annotation)))
    return "; ".join([field.description or "", *limits])


_LIMITS = {
    "Ge": ("ge", "at least"),
    "Gt": ("gt", "above"),
    "Le": ("le", "at most"),
    "Lt": ("lt", "below"),
    "MinLen": ("min_length", "entries: at least"),
}


def _limit(limit: Any) -> str:
    """One of pydantic's limits in words; empty for any other metadata."""
    attribute, words = _LIMITS.get(type(limit).__name__, ("", ""))
    return f"{words} {getattr(limit, attribute):g}" if attribute else ""


def _sentence(text: str | None) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


if __name__ == "__main__":
    run_step(document_parameters)
