"""The SQL files of the cohorts: definitions, and the concepts that they need. Imports nothing heavy.

A definition is one SELECT that gives the columns icustay_id and onset (timestamp or NULL), one row per stay that
meets it. A concept is one SELECT that becomes a table of its own name. Both may read the events tables (named as
in the architecture document) and every table that their header asks for:

    -- Needs: sofa, suspicion_of_infection     concepts, or other definitions, separated by commas
    -- Onset: required                         a definition without this may give no onset
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.runtime.content import fingerprint
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.hashing import file_hash

DEFINITIONS_FOLDER = Path(__file__).parent / "definitions"
CONCEPTS_FOLDER = Path(__file__).parent / "concepts"
DEFINITION = b"definition"
"""Metadata key of a labelled cohort table: the fingerprint of the SQL files that it was made of."""
_HEADER = re.compile(r"\s*(--[^\n]*\n\s*)*")


@dataclass(frozen=True)
class Query:
    """One SQL file with what its header asks for."""

    name: str
    path: Path
    text: str
    needs: tuple[str, ...]
    onset_required: bool


def definition_names() -> list[str]:
    """Return the names of all definitions, sorted: the SQL files of the definitions folder."""
    return sorted(path.stem for path in DEFINITIONS_FOLDER.glob("*.sql"))


def concept_names() -> list[str]:
    """Return the names of all concepts, sorted: the SQL files of the concepts folder."""
    return sorted(path.stem for path in CONCEPTS_FOLDER.glob("*.sql"))


def read_definition(name: str, own: Path | None = None) -> Query:
    """Return a cohort's definition; own: the SQL file of a cohort that is not of the definitions folder.

    Raises UserError for a name that has no file.
    """
    if own is not None:
        if not own.is_file():
            raise UserError(
                f"cohort '{name}'",
                f"no file {own}",
                "an SQL file that defines the cohort",
                "correct the path, or write the file; docs/cohorts.md shows one",
            )
        return _read(name, own)
    known = definition_names()
    if name not in known:
        raise UserError(
            f"cohort '{name}'",
            "no definition of that name",
            f"one of {', '.join(known)}",
            "choose one of these, or define a cohort of your own (docs/cohorts.md)",
        )
    return _read(name, DEFINITIONS_FOLDER / f"{name}.sql")


def needed_queries(query: Query) -> list[Query]:
    """Return all that a query needs, directly or not, each after what it needs itself.

    Raises UserError where a header asks for an unknown table, or queries need each other.
    """
    return list(_in_order(query, {}, (query.name,)))


def definition_files(name: str, own: Path | str | None = None) -> list[Path]:
    """Return the SQL files on which a cohort's labels depend.

    Raises UserError where one of them is missing, is no text, or asks for an unknown table.
    """
    query = read_definition(name, Path(own) if own else None)
    return [needed.path for needed in needed_queries(query)] + [query.path]


def definition_fingerprint(name: str, own: Path | str | None = None) -> str:
    """Return the SHA-256 of the SQL files on which a cohort's labels depend. Raises UserError as `definition_files`."""
    return fingerprint({path.name: file_hash(path) for path in definition_files(name, own)})


def _in_order(query: Query, done: dict[str, Query], chain: tuple[str, ...]) -> Iterator[Query]:
    for name in query.needs:
        if name in chain:
            raise UserError(
                str(query.path),
                f"a circle of needs: {' -> '.join([*chain, name])}",
                "queries that need each other in one direction",
                "take one of these names out of the line '-- Needs:'",
            )
        if name not in done:
            needed = _find(name, query)
            yield from _in_order(needed, done, (*chain, name))
            done[name] = needed
            yield needed


def _find(name: str, asker: Query) -> Query:
    for folder in (CONCEPTS_FOLDER, DEFINITIONS_FOLDER):
        path = folder / f"{name}.sql"
        if path.stem == name and path.is_file():
            return _read(name, path)
    raise UserError(
        str(asker.path),
        f"the line '-- Needs:' asks for {name}, which is no concept and no definition",
        f"concepts ({', '.join(concept_names())}) or definitions ({', '.join(definition_names())})",
        "correct the name; events tables need not be listed",
    )


def _read(name: str, path: Path) -> Query:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(
            str(path), "text that is not UTF-8", "an SQL file in UTF-8", "save the file as UTF-8"
        ) from None
    found = _HEADER.match(text)
    header = found.group() if found else ""
    lines = re.findall(r"^\s*-- Needs:(.*)$", header, re.MULTILINE)
    return Query(
        name=name,
        path=path,
        text=text,
        needs=tuple(part.strip() for line in lines for part in line.split(",") if part.strip()),
        onset_required=bool(re.search(r"^\s*-- Onset: required\s*$", header, re.MULTILINE)),
    )
