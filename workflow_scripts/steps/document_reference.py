"""The reference of tables and commands."""

import inspect
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from typer import Context, Option

from workflow_scripts.evaluation import run_records, summary
from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.step import run_step, step_command

if TYPE_CHECKING:
    import pyarrow as pa

SUMMARY_TABLES = {
    "metrics.csv": summary.RunRow,
    "intervals.csv": summary.IntervalRow,
    "comparisons.csv": summary.ComparisonRow,
    "rank_threshold.csv": summary.RankRow,
    "breakdown.csv": summary.BreakdownRow,
    "calibration.csv": summary.CalibrationRow,
    "transfer.csv": summary.TransferRow,
    "findings.csv": summary.FindingRow,
}

TABLES = """# Tables and records

Columns and types of every file that a step hands to the next one; [architecture.md](architecture.md) says where each
lies. This page is made from the code by `python -m workflow_scripts.steps.document_reference`; a test fails when it
drifts.

An empty cell of a CSV file, a null of a Parquet file, has no value. Floats in CSV files have six significant digits.

## Events

`data/<dataset>/events/<table>.parquet`. Times have no zone and are MIMIC's shifted ones; `string` keeps what was
charted. Tables with `itemid` hold the items of the concept dictionary only ([extraction.md](extraction.md)). The
metadata key `vitalora` of each file holds the counts of rows that were read, kept and dropped.

"""

COHORT_COLUMNS = {
    "subject_id": "int64",
    "hadm_id": "int64",
    "icustay_id": "int64",
    "intime": "timestamp[us]",
    "outtime": "timestamp[us]",
    "age_years": "double",
    "sex": "string",
    "icu_type": "string",
    "died_in_hospital": "bool",
    "meets_definition": "bool",
    "included": "bool",
    "excluded_at": "string",
    "onset": "timestamp[us]",
}
"""As labelling writes them; a test holds them to a labelled cohort."""

COHORT = """## Cohorts

`data/<dataset>/cohorts/<cohort>.parquet`, one row for each ICU stay of the data set.

"""

WINDOWS = """## Windows

`data/<dataset>/windows/<cohort>/<vital>.parquet`. `start` is the time of the first grid step of the context;
`hours_from_onset` is that of the end of the context, NaN without an onset. Values are in the vital sign's unit, NaN is
not observed; `covariates` are the contexts of the other vital signs, one after the other. The metadata key `vitalora`
holds, as JSON, what is the same for all windows.

"""

FORECASTS = """## Forecasts

`forecasts.parquet` of each run, one row for each test window and step of the horizon, in the vital sign's unit:
`window_id`, `step` (1 to the horizon), and a column for each quantile level, `q0.1` to `q0.9`.

"""

RECORD = """## The record of a run

`run.json`, the last file that a run writes. `settings` holds the parameters as they were used, `versions` those of the
libraries.

"""

SUMMARY = """## The summary

`results/<dataset>/summary/`: aggregates only, no row is of a patient or a window. [metrics.md](metrics.md) defines the
errors, [statistics.md](statistics.md) the intervals, [findings.md](findings.md) the verdicts.

"""

COMMANDS = """# Commands

The help of every step, as `python -m workflow_scripts.<step> --help` prints it. The workflow calls most of them; all
can be called by hand. This page is made by `python -m workflow_scripts.steps.document_reference`; a test fails when it
drifts.

"""


def document_reference(
    output: Annotated[Path, Option(help="folder of both pages")] = Path("docs"),
) -> None:
    """Write docs/tables.md, the columns of every table, and docs/commands.md, the help of every step, from the code.

    Example:
        python -m workflow_scripts.steps.document_reference
    """
    write_text(output / "tables.md", tables_page())
    write_text(output / "commands.md", commands_page())


def tables_page() -> str:
    """Every table's columns, from the schemas and classes that write and check them."""
    from workflow_scripts.windows.reading import WINDOW_SCHEMA, WindowMetadata

    events = "".join(f"### {name}\n\n{_schema(schema)}\n" for name, schema in _event_schemas().items())
    metadata = _columns(((field.name, field.type) for field in fields(WindowMetadata)), "key of the metadata")
    tables = "".join(
        f"### {name}\n\n{_summary_text(kind)}\n\n{_columns((field.name, field.type) for field in fields(kind))}\n"
        for name, kind in SUMMARY_TABLES.items()
    )
    parts = [TABLES + events.rstrip(), COHORT + _columns(COHORT_COLUMNS.items())]
    parts += [WINDOWS + _schema(WINDOW_SCHEMA), metadata, FORECASTS, RECORD + _record(), SUMMARY + tables]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def commands_page() -> str:
    """The help of every step."""
    steps = sorted(
        path.stem
        for path in Path(__file__).parent.glob("*.py")
        if "    run_step(" in path.read_text(encoding="utf-8")
    )
    return COMMANDS + "\n".join(f"## {step}\n\n```text\n{_help(step)}```\n" for step in steps)


def _help(step: str) -> str:
    """The help of one step, 100 characters wide whatever the terminal."""
    program = f"workflow_scripts.steps.{step}"
    command = step_command(getattr(import_module(program), step))
    with Context(command, info_name=f"python -m {program}", terminal_width=100) as context:
        return command.get_help(context) + "\n"


def _event_schemas() -> dict[str, "pa.Schema"]:
    from workflow_scripts.sources.mimic_iii.extraction import CHART_COLUMNS, KEPT_COLUMNS
    from workflow_scripts.sources.mimic_iii.reading import arrow_schema
    from workflow_scripts.sources.mimic_iii.vitals import VITALS_SCHEMA

    schemas = {table: arrow_schema(table, columns) for table, columns in KEPT_COLUMNS.items()}
    return schemas | {"clinical_chart": arrow_schema("chartevents", CHART_COLUMNS), "vitals": VITALS_SCHEMA}


def _schema(schema: "pa.Schema") -> str:
    return _columns((field.name, str(field.type).replace("item: ", "")) for field in schema)


def _columns(columns: Iterable[tuple[str, Any]], heading: str = "column") -> str:
    lines = [f"| `{name}` | {_type(kind)} |" for name, kind in columns]
    return "\n".join([f"| {heading} | type |", "|---|---|", *lines]) + "\n"


def _type(kind: Any) -> str:
    """A column's type in words: `float | None` may be empty."""
    if isinstance(kind, UnionType):
        return ", or ".join("empty" if part is type(None) else _type(part) for part in get_args(kind))
    if get_origin(kind) is list or get_args(kind)[1:] == (Ellipsis,):
        return f"list of {_type(get_args(kind)[0])}"
    if get_origin(kind) is tuple:
        return f"[{'; '.join(map(_type, get_args(kind)))}]"
    if is_dataclass(kind):
        return f"{{{', '.join(field.name for field in fields(kind))}}}"
    if get_origin(kind) is dict:
        return "object"
    name = kind if isinstance(kind, str) else kind.__name__
    return f"`{name}`".replace("`str`", "`string`")


def _record() -> str:
    """The keys of run.json, those of its parts with a dot."""
    return _columns(_keys(run_records.RunRecord), "key")


def _keys(model: type[BaseModel], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        parts = [part for part in get_args(kind) or (kind,) if _is_part(part)]
        if not parts:
            yield f"{prefix}{name}", kind
        elif get_origin(kind) is list:
            yield from _keys(parts[0], f"{prefix}{name}[].")
        else:
            yield from _keys(parts[0], f"{prefix}{name}.")


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _summary_text(kind: type) -> str:
    """The docstring of a row in one paragraph for each of its own, without the sentence on columns."""
    text = inspect.cleandoc(kind.__doc__ or "")
    text = re.sub(r" (Its fields(, in this order,)? are the) columns of [a-z_]+\.csv\.", "", text)
    return re.sub(r"\((docs/)?([a-z_]+)\.py\)", "", text)


if __name__ == "__main__":
    run_step(document_reference)
