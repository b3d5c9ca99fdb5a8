"""What the workflow is told of a data set by its source."""

from pathlib import Path

import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.datasets import dataset_of, named_datasets
from workflow_scripts.sources.source import inventory, source_of


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


def test_an_inventory_changes_with_either_end_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.csv"
    path.parent.mkdir()
    path.write_bytes(b"a" * 200_000)
    states = [inventory(tmp_path, [path])]
    for place in (0, -1):
        content = bytearray(b"a" * 200_000)
        content[place] = ord("b")
        path.write_bytes(content)
        states.append(inventory(tmp_path, [path]))
    assert list(states[0]) == ["deep/log.csv"]
    assert all(states[0] != state for state in states[1:])
    assert states[1] != states[2]
