"""One reading of a MEDS data set: its shards, its codes, and what the mapping makes of them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.meds.diagnoses import sepsis_codes
from workflow_scripts.sources.meds.mapping import MappedCode, Mapping, vital_codes
from workflow_scripts.sources.meds.shards import open_shards
from workflow_scripts.sources.meds.stays import create_stays

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Reading:
    """A connection with the view `events` and the table `stays`.

    descriptions: code -> its description, where the metadata have one. unmapped: the other codes that have numbers,
    and how many. counts: of stays.
    """

    connection: "duckdb.DuckDBPyConnection"
    mapped: list[MappedCode]
    unmapped: dict[str, int]
    descriptions: dict[str, str]
    counts: dict[str, int]


@contextmanager
def open_reading(raw: Path, mapping: Mapping, folder: Path, threads: int = 2) -> Iterator[Reading]:
    """Give a reading of a data set. folder: an existing one, for temporary files.

    Raises UserError for shards and codes that cannot be read as the mapping says (shards.py, mapping.py, stays.py), and
    where no code is a vital sign.
    """
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".spill.") as spill,
        open_shards(raw, Path(spill), threads) as connection,
    ):
        numbers = dict(
            connection.sql(
                "SELECT code, count(numeric_value) FROM events GROUP BY code ORDER BY code"
            ).fetchall()
        )
        descriptions, parents = _metadata(raw / "metadata" / "codes.parquet")
        mapped = vital_codes(mapping, numbers, str(raw))
        if not mapped:
            raise UserError(
                str(raw),
                f"{len(numbers)} codes, of which the mapping knows none as a vital sign",
                "a mapping for the converter that wrote the data",
                "name another mapping, or write one (docs/exchange-formats.md)",
            )
        counts = create_stays(
            connection, mapping, list(numbers), sepsis_codes(mapping, numbers, parents), raw
        )
        known = {code.code for code in mapped}
        unmapped = {code: count for code, count in numbers.items() if count and code not in known}
        yield Reading(connection, mapped, unmapped, descriptions, counts)


def _metadata(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return descriptions and parent codes by code; both are empty where the data set has none."""
    if not path.is_file():
        return {}, {}
    try:
        schema = pq.read_schema(path)
        names = [name for name in ("code", "description", "parent_codes") if name in schema.names]
        rows = pq.read_table(path, columns=names).to_pylist()
    except (OSError, pa.ArrowException):
        raise UserError(
            str(path),
            "not a complete Parquet file",
            "metadata/codes.parquet of meds",
            "convert the data again",
        ) from None
    described = {row["code"]: row["description"] for row in rows if row.get("description")}
    return described, {row["code"]: row["parent_codes"] for row in rows if row.get("parent_codes")}
