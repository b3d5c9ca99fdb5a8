"""Your own tables come in at the windows: a simulated monitor's export, in the paper's geometry."""

import csv
import shutil

import pytest
import yaml

from tests.helpers.projects import ROOT, TINY_STUDY, copy_project, run_in

pytestmark = pytest.mark.workflow

MONITOR_STUDY = (
    TINY_STUDY
    | yaml.safe_load((ROOT / "params/monitor.yaml").read_text(encoding="utf-8"))
    | {"models": ["moirai-nano"], "arms": ["zero-shot"], "baselines": ["persistence", "mean-of-context"]}
)


@pytest.fixture
def project(tmp_path):
    return copy_project(tmp_path / "project", MONITOR_STUDY)


@pytest.mark.acceptance
def test_the_paper_s_geometry_runs_on_five_minute_data_of_your_own(project):
    run_in(project, "snakemake", "--cores", "2")
    with (project / "results/simulated-monitor/summary/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} == {"persistence", "mean-of-context", "moirai-nano"}
    assert all(int(row["test_windows"]) > 20 and float(row["mse"]) > 0 for row in rows)
    assert (project / "results/simulated-monitor/report.html").exists()
    # A hospital's own folder is the same tables under another name.
    shutil.move(project / "data/raw/simulated-monitor", project / "data/raw/our-hospital")
    run_in(project, "snakemake", "--cores", "2", "--config", "dataset=our-hospital", "--", "data")
    assert (project / "data/our-hospital/windows/septic/heart_rate.parquet").exists()


def test_a_table_that_is_not_there_is_named_with_those_that_are(project):
    folder = project / "data/raw/our-hospital/cohorts"
    folder.mkdir(parents=True)
    (folder / "trauma.parquet").touch()
    refused = run_in(project, "snakemake", "--cores", "1", "--config", "dataset=our-hospital", expect=1)
    assert "no data/raw/our-hospital/vitals.parquet" in refused.stderr
    assert "no data/raw/our-hospital/cohorts/septic.parquet (cohorts present: trauma)" in refused.stderr
    assert "docs/own-data.md" in refused.stderr
