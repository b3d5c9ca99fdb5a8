"""A cohort of one's own is SQL of someone else: it reads the events, and nothing but the events."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.cohorts.definitions import Query
from workflow_scripts.cohorts.events import NEEDED_COLUMNS, open_events
from workflow_scripts.cohorts.queries import create_table
from workflow_scripts.runtime.errors import UserError

TYPES = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    "timestamp without zone": pa.timestamp("us"),
}


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty events tables at a relative path, as in the workflow, with a secret in a file beside them."""
    monkeypatch.chdir(tmp_path)
    folder = Path("data/events")
    folder.mkdir(parents=True)
    for table, columns in NEEDED_COLUMNS.items():
        schema = pa.schema([(name, TYPES[kind]) for name, kind in columns.items()])
        pq.write_table(schema.empty_table(), folder / f"{table}.parquet")
    Path("secret.csv").write_text("word\nswordfish\n")
    return folder


def run(events: Path, text: str) -> None:
    with open_events(events, threads=1, clinical=False) as connection:
        create_table(connection, "defined", Query("mine", Path("mine.sql"), text, (), False))


def test_the_events_can_be_read(events: Path) -> None:
    run(events, "SELECT icustay_id, intime AS onset FROM icustays")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM read_csv('secret.csv')",
        "FROM 'secret.csv'",
        "SELECT * FROM read_text('{root}/secret.csv')",
        "SELECT * FROM read_blob('data/events/../../secret.csv')",
        "SELECT * FROM glob('{root}/*')",
        "SELECT * FROM sniff_csv('secret.csv')",
        "SELECT * FROM read_parquet('https://example.org/a.parquet')",
    ],
)
def test_no_other_file_and_no_address_can_be_read(events: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError) as refused:
        run(events, text.format(root=tmp_path))
    assert refused.value.found == "SQL that asks for a file, the network or an extension"
    assert "swordfish" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "COPY (SELECT 1) TO 'data/events/out.csv'",
        "ATTACH 'data/events/other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "EXPORT DATABASE 'data/events/copy'",
        "SELECT 1; COPY (SELECT 1) TO 'data/events/out.csv'",
    ],
)
def test_a_definition_can_neither_write_nor_load_nor_unlock(events: Path, text: str) -> None:
    before = sorted(events.rglob("*"))
    with pytest.raises(UserError, match=r"mine\.sql"):
        run(events, text)
    assert sorted(events.rglob("*")) == before


def test_the_lock_holds_whatever_is_executed_on_the_connection(events: Path) -> None:
    # Below the check that a definition is one SELECT.
    with open_events(events, threads=1, clinical=False) as connection:
        for text in (
            "SET enable_external_access = true",
            "SET allowed_directories = ['/']",
            "RESET lock_configuration",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(text)
        for text in ("LOAD httpfs", "INSTALL httpfs", "COPY (SELECT 1) TO 'out.csv'", "ATTACH 'other.db'"):
            with pytest.raises(duckdb.PermissionException):
                connection.execute(text)


@pytest.mark.parametrize("name", ["it's", "a b", "$(touch hit)", "x]['"])
def test_an_events_folder_may_have_any_name(events: Path, name: str) -> None:
    moved = events.rename(events.parent / name)
    run(moved, "SELECT icustay_id, intime AS onset FROM icustays")
