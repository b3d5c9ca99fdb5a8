"""Sites: cohorts of other data sets in a study's transfers."""

import json
from pathlib import Path

import pytest

from tests.evaluation.study_records import run_record
from workflow_scripts.evaluation.names import cohort_name
from workflow_scripts.evaluation.site_runs import site_rows
from workflow_scripts.evaluation.sites import run_folder, split_site, windows_file
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.settings import load_study
from workflow_scripts.sources.datasets import dataset_of

TWO_HOSPITALS = {
    "dataset": "challenge-2019",
    "cohorts": ["sepsis3_hospital_a", "sepsis3_hospital_b"],
    "transfer": True,
    "sites": ["eicu-demo.all"],
    "models": ["moirai-nano"],
    "arms": ["zero-shot", "lora"],
    "vitals": ["heart_rate"],
}


def test_a_site_is_a_cohort_of_another_data_set() -> None:
    assert split_site("eicu-demo.all", "simulated") == ("eicu-demo", "all")
    assert split_site("all", "simulated") == ("simulated", "all")
    assert windows_file("simulated", "eicu-demo.all", "spo2") == Path(
        "data/eicu-demo/windows/all/spo2.parquet"
    )
    folder = run_folder("simulated", "eicu-demo.all", "spo2", "moirai-nano", "lora-r2", 0)
    assert folder == Path("results/eicu-demo/runs/all/spo2/moirai-nano/lora-r2/seed0")


def test_adapters_go_from_every_cohort_and_site_to_every_other() -> None:
    jobs = load_study(TWO_HOSPITALS).transfers()
    names = [*TWO_HOSPITALS["cohorts"], "eicu-demo.all"]
    pairs = {(one, other) for one in names for other in names if one != other}
    assert {(job.trained_on, job.evaluated_on) for job in jobs} == pairs
    assert {job.arm for job in jobs} == {"lora-r2"}
    runs = load_study(TWO_HOSPITALS).site_runs()
    assert [(run.cohort, run.arm) for run in runs] == [
        ("eicu-demo.all", "zero-shot"),
        ("eicu-demo.all", "lora-r2"),
    ]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"sites": ["challenge-2019.all"]}, "another data set's name"),
        ({"sites": ["eicu-demo"]}, "another data set's name"),
        ({"sites": ["eicu-demo.all"] * 2}, "a repeated name"),
        ({"transfer": False}, "say transfer: true"),
    ],
)
def test_impossible_sites_are_refused(change: dict, found: str) -> None:
    with pytest.raises(UserError, match=found):
        load_study(TWO_HOSPITALS | change)


def test_a_site_whose_study_has_not_run_is_refused_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="and 1 more runs are missing") as caught:
        load_study(TWO_HOSPITALS).require_sites()
    assert "snakemake --cores all --config dataset=eicu-demo cohorts='[all]'" in caught.value.remedy


def write_run(root: Path, dataset: str, cohort: str, steps: int) -> Path:
    """A run record in its place."""
    record = run_record("heart_rate", "moirai-nano", settings={"training": {"steps": steps}})
    record["key"] |= {"dataset": dataset, "cohort": cohort}
    folder = root / dataset / "runs" / Path(cohort, "heart_rate", "moirai-nano", "lora-r2", "seed0")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    return folder / "run.json"


def test_a_site_s_run_stands_for_the_site_and_must_have_the_study_s_settings(tmp_path: Path) -> None:
    own = write_run(tmp_path, "challenge-2019", "all", steps=100)
    theirs = write_run(tmp_path, "eicu-demo", "all", steps=100)
    other = write_run(tmp_path, "mimic-iii-demo", "all", steps=50)
    ours = site_rows([own], {})
    (row, folder), *more = site_rows([theirs], ours).items()
    assert (row.cohort, folder, more) == ("eicu-demo.all", theirs.parent, [])
    with pytest.raises(UserError, match="other settings than this study's: training"):
        site_rows([other], ours)


def test_hospitals_that_two_cohorts_share_are_known() -> None:
    challenge, mimic = dataset_of("challenge-2019"), dataset_of("mimic-iii")
    assert challenge.centres_of("all_hospital_a") & mimic.centres_of("sepsis3") == {"Beth Israel Deaconess"}
    assert not challenge.centres_of("sepsis3_hospital_b") & mimic.centres_of("sepsis3")
    assert challenge.centres_of("all") == {"Beth Israel Deaconess", "Emory"}


def test_cohorts_have_names_for_readers() -> None:
    assert cohort_name("sepsis3_hospital_a") == "Sepsis-3, hospital A"
    assert cohort_name("mimic-iii-demo.all") == "all stays of the open MIMIC-III demo"
