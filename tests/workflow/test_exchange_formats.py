"""Data in exchange formats, from the export on: the eICU demo by its name, the MIMIC-IV demo by `sources:`."""

import csv
import json
import shutil

import pytest
import yaml

from tests.helpers.open_data import open_data
from tests.helpers.projects import TINY_STUDY, copy_project, run_in
from workflow_scripts.sources.meds.mapping import mapping_file

pytestmark = [pytest.mark.workflow, pytest.mark.acceptance]

SMALL = TINY_STUDY | {"models": ["moirai-nano"], "arms": ["zero-shot", "lora"], "ranks": [1]}
SMALL |= {"baselines": ["persistence"]}


def test_the_eicu_demo_goes_from_its_export_to_the_report(tmp_path):
    export = open_data("yaib-demo", "YAIB_DEMO_DIR")
    project = copy_project(tmp_path / "project", SMALL | {"dataset": "eicu-demo", "cohorts": ["aki"]})
    run_in(project, "snakemake", "--cores", "2", YAIB_DEMO_DIR=str(export))
    results = project / "results/eicu-demo"
    with (results / "summary/metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["arm"] for row in rows} == {"baseline", "zero-shot", "lora-r1"}
    assert all(float(row["mse"]) > 0 for row in rows)
    record = json.loads(next(results.rglob("run.json")).read_text(encoding="utf-8"))
    assert record["windows"]["subject_kind"] == "stay"
    report = (results / "report.html").read_text(encoding="utf-8")
    assert "no patient identifier" in report
    assert "Died in the ICU" in report


def test_a_meds_data_set_of_another_name_is_read_again_when_its_mapping_changes(tmp_path):
    raw = open_data("meds-demo", "MEDS_DEMO_DIR")
    project = copy_project(tmp_path / "project", SMALL)
    shutil.copy(mapping_file("mimic-iv"), project / "mapping.yaml")
    entry = {"format": "meds", "path": str(raw), "mapping": "mapping.yaml"}
    study = SMALL | {"dataset": "our-meds", "cohorts": ["angus"], "sources": {"our-meds": entry}}
    (project / "params.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    run_in(project, "snakemake", "--cores", "2", "--", "data")
    windows = project / "data/our-meds/windows/angus/heart_rate.parquet"
    assert windows.exists()
    planned = run_in(project, "snakemake", "--cores", "2", "-n", "--", "data")
    assert "read_source" not in planned.stdout
    with (project / "mapping.yaml").open("a", encoding="utf-8") as file:
        file.write("# Another state of the file.\n")
    planned = run_in(project, "snakemake", "--cores", "2", "-n", "--", "data")
    assert "read_source" in planned.stdout
