"""What the workflow is told of a data set by its source."""

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.own_tables import own_tables
from workflow_scripts.runtime.content import inventory
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.datasets import dataset_of, named_datasets
from workflow_scripts.sources.own_tables import OwnTables
from workflow_scripts.sources.source import source_of


@pytest.mark.parametrize("name", named_datasets())
def test_every_named_data_set_has_a_source(name: str) -> None:
    assert source_of(name).dataset == dataset_of(name)


def test_a_data_set_of_another_name_is_your_own_and_credentialed() -> None:
    source = source_of("our-hospital")
    assert source.dataset.patients == "credentialed"
    assert source.values == "data/raw/our-hospital/vitals.parquet"
    assert source.cohort.format(cohort="sepsis") == "data/raw/our-hospital/cohorts/sepsis.parquet"


def test_an_environment_variable_names_the_raw_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIMIC_DIR", raising=False)
    assert source_of("mimic-iii").raw_folder == Path("data/raw/mimic-iii")
    monkeypatch.setenv("MIMIC_DIR", "/kept/by/the/hospital")
    assert source_of("mimic-iii").raw_folder == Path("/kept/by/the/hospital")


def test_a_misspelt_data_set_is_refused_with_the_name_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="did you mean 'mimic-iii-demo'"):
        source_of("mimic-iii-dmeo").require(["all"])


def test_a_table_that_is_a_folder_of_files_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = own_tables(Path("data/raw/our-hospital")) / "vitals.parquet"
    table = pq.read_table(values)
    values.unlink()
    pq.write_to_dataset(table, values, partition_cols=["vital"])
    with pytest.raises(UserError, match=r"vitals.parquet: a folder \(Spark and partitioned"):
        source_of("our-hospital").require(["all"])


@pytest.mark.parametrize("place", [0, 100_000, -1])
def test_an_inventory_changes_with_any_byte_of_a_file(place: int, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.csv"
    path.parent.mkdir()
    content = bytearray(b"a" * 200_000)
    path.write_bytes(content)
    before = inventory(tmp_path, [path])
    content[place] = ord("b")
    path.write_bytes(content)
    assert inventory(tmp_path, [path]) == {"deep/log.csv": hashlib.sha256(content).hexdigest()} != before


def test_own_tables_have_the_fingerprint_of_both_tables_of_a_cohort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own_tables(Path("data/raw/our-hospital"))
    source = source_of("our-hospital")
    assert isinstance(source, OwnTables)
    states = [source.fingerprint("all")]
    assert list(source.inventory_of("all")) == ["cohorts/all.parquet", "vitals.parquet"]
    for path in (source.values, source.cohort.format(cohort="all")):
        pq.write_table(pq.read_table(path).slice(1), path)
        states.append(source.fingerprint("all"))
    assert len(set(states)) == 3
    # Another cohort's table is nothing to this one's windows.
    pq.write_table(pq.read_table(path), source.cohort.format(cohort="other"))
    assert source.fingerprint("all") == states[-1]
    # A table may be a folder of files.
    Path(source.values).unlink()
    for part in range(2):
        Path(source.values).mkdir(exist_ok=True)
        Path(source.values, f"{part}.parquet").write_bytes(bytes([part]))
    first = source.fingerprint("all")
    Path(source.values, "1.parquet").write_bytes(b"2")
    assert source.fingerprint("all") != first
