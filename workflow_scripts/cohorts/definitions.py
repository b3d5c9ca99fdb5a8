"""The cohort definitions: one SQL file each, found by its name. Imports nothing heavy."""

from pathlib import Path

from workflow_scripts.runtime.errors import UserError

DEFINITIONS_FOLDER = Path(__file__).parent / "definitions"


def definition_names() -> list[str]:
    """Return the names of all definitions, sorted: the SQL files of the definitions folder."""
    return sorted(path.stem for path in DEFINITIONS_FOLDER.glob("*.sql"))


def read_definition(name: str) -> str:
    """Return a definition's SQL text.

    It is one SELECT over the events tables (named as in the architecture document) that gives the columns
    icustay_id and onset (timestamp or NULL), one row per stay that meets the definition.
    Raises UserError for a name that has no file.
    """
    known = definition_names()
    if name not in known:
        raise UserError(
            f"cohort '{name}'",
            "no definition of that name",
            f"one of {', '.join(known)}",
            f"choose one of these, or add {name}.sql to workflow_scripts/cohorts/definitions",
        )
    return (DEFINITIONS_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
