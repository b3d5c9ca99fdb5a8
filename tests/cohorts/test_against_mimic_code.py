"""The preset `mimic_code` against mimic-code's own SQL, row by row, on the open demo.

Needs a checkout of MIT-LCP/mimic-code (MIMIC_CODE_DIR), whose mimic-iii/concepts_duckdb is its BigQuery SQL in DuckDB's
dialect; without one the tests are skipped. Nothing of it is part of this repository.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from workflow_scripts.cohorts.definitions import CONCEPTS_FOLDER, read_definition
from workflow_scripts.cohorts.events import open_events
from workflow_scripts.cohorts.parameters import PRESETS
from workflow_scripts.cohorts.queries import create_with_needs
from workflow_scripts.sources.mimic_iii.extraction import extract_events
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters
from workflow_scripts.sources.mimic_iii.tables import TABLES

pytestmark = pytest.mark.demo

RAW = [
    *(
        "patients",
        "admissions",
        "icustays",
        "chartevents",
        "labevents",
        "microbiologyevents",
        "prescriptions",
    ),
    *("outputevents", "inputevents_cv", "inputevents_mv", "procedureevents_mv"),
]
TYPES = {"integer": "BIGINT", "number": "DOUBLE", "text": "VARCHAR", "time": "TIMESTAMP"}
PUBLISHED = """
    demographics/icustay_times demographics/icustay_hours
    durations/ventilation_classification durations/ventilation_durations echo_data durations/weight_durations
    durations/epinephrine_dose durations/norepinephrine_dose durations/dopamine_dose durations/dobutamine_dose
    pivot/pivoted_bg pivot/pivoted_bg_art pivot/pivoted_gcs pivot/pivoted_lab pivot/pivoted_uo pivot/pivoted_sofa
    treatment/abx_prescriptions_list treatment/suspicion_of_infection
"""
# What mimic-iv/concepts/sepsis/sepsis3.sql reads, from the tables of MIMIC-III.
SEPSIS3_INPUT = """
    CREATE VIEW mimiciv_derived.sofa AS
    SELECT icustay_id AS stay_id, * EXCLUDE (icustay_id) FROM mimiciii_derived.pivoted_sofa;
    CREATE VIEW mimiciv_derived.suspicion_of_infection AS
    SELECT
        icustays.subject_id, icustay_id AS stay_id, 1 AS ab_id, antibiotic_name AS antibiotic, antibiotic_time,
        suspected_infection_time AS culture_time, suspected_infection_time,
        CAST(suspected_infection_time IS NOT NULL AS INTEGER) AS suspected_infection,
        specimen, positiveculture AS positive_culture
    FROM mimiciii_derived.suspicion_of_infection JOIN mimiciii.icustays USING (icustay_id)
"""


@pytest.fixture(scope="module")
def mimic_code() -> Path:
    folder = os.environ.get("MIMIC_CODE_DIR")
    if not folder or not (Path(folder) / "mimic-iii/concepts_duckdb").is_dir():
        pytest.skip("no checkout of MIT-LCP/mimic-code: set MIMIC_CODE_DIR to its folder")
    return Path(folder)


@pytest.fixture(scope="module")
def both(
    mimic_code: Path, demo_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the published tables in mimiciii_derived and ours in the schema `ours`."""
    folder = tmp_path_factory.mktemp("events")
    extract_events(demo_folder, folder, ExtractionParameters())
    with open_events(folder, 2, clinical=True) as connection:
        connection.execute("CREATE SCHEMA mimiciii; CREATE SCHEMA mimiciii_derived; CREATE SCHEMA ours")
        for table in RAW:
            columns = ", ".join(
                f"TRY_CAST({name} AS {TYPES[kind]}) AS {name}" for name, kind in TABLES[table].items()
            )
            source = f"read_csv('{demo_folder}/{table.upper()}.csv.gz', all_varchar = true, quote = '\"')"
            # The connection of a cohort's SQL opens no files, so another one reads them.
            connection.register("raw", duckdb.sql(f"SELECT {columns} FROM {source}").to_arrow_table())
            connection.execute(f"CREATE TABLE mimiciii.{table} AS FROM raw")
            connection.unregister("raw")
        # The release writes these words with a blank at the end, as mimic-code compares them; some copies lost it.
        connection.execute(
            "UPDATE mimiciii.chartevents SET value = value || ' ' "
            "WHERE itemid = 226732 AND value IN ('Trach mask', 'Venti mask', 'Medium conc mask')"
        )
        # The demo has no notes; weights from echocardiography reports are empty.
        notes = "row_id BIGINT, subject_id BIGINT, hadm_id BIGINT, chartdate TIMESTAMP, charttime TIMESTAMP, "
        connection.execute(f"CREATE TABLE mimiciii.noteevents ({notes} category VARCHAR, text VARCHAR)")
        for name in PUBLISHED.split():
            connection.execute((mimic_code / f"mimic-iii/concepts_duckdb/{name}.sql").read_text())
        connection.execute("CREATE SCHEMA mimiciv_derived")
        connection.execute(SEPSIS3_INPUT)
        connection.execute((mimic_code / "mimic-iv/concepts_duckdb/sepsis/sepsis3.sql").read_text())
        for name in ("ventilation", "glasgow_coma_scale", "suspicion_of_infection", "sofa", "sepsis3"):
            path = (
                read_definition(name, CONCEPTS_FOLDER / f"{name}.sql")
                if name != "sepsis3"
                else read_definition(name)
            )
            create_with_needs(connection, "wanted", path, PRESETS["mimic_code"])
            connection.execute(f"CREATE TABLE ours.{name} AS FROM wanted; DROP TABLE wanted")
        yield connection


PAIRS = [
    (
        "SELECT icustay_id, starttime, endtime FROM ours.ventilation",
        "SELECT icustay_id, starttime, endtime FROM mimiciii_derived.ventilation_durations "
        "WHERE icustay_id IS NOT NULL",
    ),
    (
        "SELECT DISTINCT icustay_id, antibiotic, antibiotic_time, suspicion_time FROM ours.suspicion_of_infection",
        "SELECT DISTINCT icustay_id, antibiotic_name, antibiotic_time, suspected_infection_time "
        "FROM mimiciii_derived.suspicion_of_infection WHERE suspected_infection_time IS NOT NULL",
    ),
    (
        "SELECT icustay_id, hour, endtime, coalesce(respiration, 0), coalesce(coagulation, 0), coalesce(liver, 0), "
        "coalesce(cardiovascular, 0), coalesce(central_nervous_system, 0), coalesce(renal, 0), sofa FROM ours.sofa",
        "SELECT icustay_id, hr, endtime, respiration_24hours, coagulation_24hours, liver_24hours, "
        "cardiovascular_24hours, cns_24hours, renal_24hours, sofa_24hours FROM mimiciii_derived.pivoted_sofa",
    ),
    (
        "SELECT icustay_id, onset FROM ours.sepsis3",
        "SELECT stay_id, sofa_time FROM mimiciv_derived.sepsis3 WHERE sepsis3",
    ),
]


@pytest.mark.parametrize(("ours", "published"), PAIRS, ids=["ventilation", "suspicion", "sofa", "sepsis3"])
def test_our_rows_are_the_published_ones(ours: str, published: str, both: duckdb.DuckDBPyConnection) -> None:
    counts = "SELECT (SELECT count(*) FROM ({})), (SELECT count(*) FROM ({} EXCEPT ALL {})), "
    counts += "(SELECT count(*) FROM ({} EXCEPT ALL {}))"
    filled = counts.format(ours, ours, published, published, ours)
    number, only_ours, only_published = both.execute(filled).fetchall()[0]
    assert number > 0
    assert (only_ours, only_published) == (0, 0)
