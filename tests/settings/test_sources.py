"""`sources:` in params.yaml: where a data set is and how it is read."""

from pathlib import Path

import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.settings import load_study


def test_an_entry_names_format_path_and_options() -> None:
    study = load_study(
        {
            "dataset": "hirid",
            "sources": {"hirid": {"format": "yaib", "path": "/data/yaib", "data": "hirid"}},
            "cohorts": ["sepsis3"],
        }
    )
    source = study.source()
    assert (source.raw_folder, source.dataset.patients) == (Path("/data/yaib"), "credentialed")
    assert source.options.model_dump()["data"] == "hirid"


def test_a_data_set_with_a_name_keeps_what_its_entry_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHALLENGE_2019_DIR", "/elsewhere")
    study = {"dataset": "challenge-2019", "cohorts": ["sepsis3_hospital_a"]}
    assert load_study(study).source().raw_folder == Path("/elsewhere")
    source = load_study(study | {"sources": {"challenge-2019": {"path": "/here/data.zip"}}}).source()
    assert (source.raw_folder, source.dataset.patients) == (Path("/here/data.zip"), "open")


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ({"x": {"format": "csv"}}, "sources.x.format: 'csv'; allowed: one of challenge-2019, "),
        ({"x": {"format": "challenge-2019", "hospital": "a"}}, "sources.x: hospital: Extra inputs"),
        ({"Our Data": {}}, "'Our Data'; allowed in a name: a-z, 0-9 and -"),
        ({"x": {"path": ["a"]}}, "sources.x.path: found"),
    ],
)
def test_impossible_entries_are_refused(entries: dict, found: str) -> None:
    with pytest.raises(UserError) as caught:
        load_study({"sources": entries})
    assert found in str(caught.value)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            {"cohorts": ["sepsis3_hospital_c"]},
            "'sepsis3_hospital_c' is no cohort (did you mean 'sepsis3_hospital_",
        ),
        ({"vitals": ["mean_blood_pressure_derived"]}, "challenge-2019 has no mean_blood_pressure_derived"),
    ],
)
def test_what_the_data_set_does_not_have_is_refused(change: dict, found: str) -> None:
    study = {"dataset": "challenge-2019", "cohorts": ["all"], "vitals": ["heart_rate"]}
    with pytest.raises(UserError) as caught:
        load_study(study | change)
    assert found in str(caught.value)
