"""Cohorts beyond sepsis: known answers, and second computations on the open demo and on simulated patients."""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.cohorts.ward import ADMITTED, Ward
from workflow_scripts.cohorts.definitions import (
    CONCEPTS_FOLDER,
    DEFINITIONS_FOLDER,
    definition_names,
    read_definition,
)
from workflow_scripts.cohorts.events import open_events
from workflow_scripts.cohorts.labelling import label_cohort
from workflow_scripts.cohorts.parameters import CohortParameters, Sepsis3Parameters
from workflow_scripts.cohorts.queries import create_with_needs
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.extraction import extract_events
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters, SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic
from workflow_scripts.windows.making import make_windows
from workflow_scripts.windows.parameters import WindowParameters

EVERYBODY = CohortParameters(minimum_age_years=0, minimum_stay_hours=0.001, minimum_charted_values=0)


class Source:
    """A raw folder, its events tables, and pandas' own reading of the raw tables."""

    def __init__(self, raw: Path, events: Path) -> None:
        self.raw, self.events = raw, events
        self.read, self.query, self.onsets = cache(self.read), cache(self.query), cache(self.onsets)

    @classmethod
    def extracted(cls, raw: Path, events: Path) -> "Source":
        extract_events(raw, events, ExtractionParameters())
        return cls(raw, events)

    def read(self, table: str) -> pd.DataFrame:
        frame = pd.read_csv(
            self.raw / f"{table.upper()}.csv.gz", dtype={"ICD9_CODE": str, "icd9_code": str}, low_memory=False
        )
        return frame.rename(columns=str.lower)

    def query(self, name: str) -> pd.DataFrame:
        """The table of one concept or definition."""
        path = next(f for f in (CONCEPTS_FOLDER, DEFINITIONS_FOLDER) if (f / f"{name}.sql").exists())
        with open_events(self.events, 1, clinical=True) as connection:
            query = read_definition(name, path / f"{name}.sql")
            create_with_needs(connection, name, query, Sepsis3Parameters().choices())
            return connection.sql(f'FROM "{name}"').df()

    def onsets(self, cohort: str) -> dict[int, pd.Timestamp]:
        """icustay_id -> onset of the stays that meet a definition."""
        table, _ = label_cohort(self.events, cohort, EVERYBODY, ["heart_rate"])
        return {row["icustay_id"]: row["onset"] for row in table.to_pylist() if row["meets_definition"]}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("simulated")
    (folder / "raw").mkdir()
    simulate_mimic(SimulatorParameters(patients=60), folder / "raw")
    return Source.extracted(folder / "raw", folder / "events")


@pytest.fixture(scope="module")
def demo(demo_folder: Path, extracted_demo: Path) -> Source:
    return Source(demo_folder, extracted_demo)


@pytest.fixture(params=["simulated", pytest.param("demo", marks=pytest.mark.demo)])
def source(request: pytest.FixtureRequest) -> Source:
    return request.getfixturevalue(request.param)


# The code lists a second time, as regular expressions typed from the published lists.
HEART_FAILURE = re.compile(r"428|39891$|402[019]1$|404[019][13]$")
TRAUMA = re.compile(r"8\d\d|90[0-4]|92[5-9]|9[45]\d")


def stays_of(source: Source, admissions: set[int]) -> set[int]:
    stays = source.read("icustays")
    return set(stays.loc[stays["hadm_id"].isin(admissions), "icustay_id"])


def coded(source: Source, pattern: re.Pattern[str]) -> set[int]:
    codes = source.read("diagnoses_icd").dropna(subset=["icd9_code"])
    return set(codes.loc[codes["icd9_code"].map(lambda code: bool(pattern.match(code))), "hadm_id"])


def first_served_by(source: Source, service: str) -> set[int]:
    services = source.read("services").sort_values("transfertime").drop_duplicates("hadm_id")
    return set(services.loc[services["curr_service"] == service, "hadm_id"])


def test_heart_failure_is_that_of_a_reading_in_pandas(source: Source) -> None:
    expected = stays_of(source, coded(source, HEART_FAILURE))
    assert expected
    assert set(source.onsets("heart_failure")) == expected


def test_cardiac_surgery_is_that_of_a_reading_in_pandas(source: Source) -> None:
    expected = stays_of(source, first_served_by(source, "CSURG"))
    assert expected
    assert set(source.onsets("cardiac_surgery")) == expected


def test_trauma_is_that_of_a_reading_in_pandas(source: Source) -> None:
    expected = stays_of(source, coded(source, TRAUMA) | first_served_by(source, "TRAUM"))
    assert expected
    assert set(source.onsets("trauma")) == expected


# Definition, diagnoses, whether the published list has one of them.
KNOWN_CODES = [
    ("heart_failure", ("4280",), True),
    ("heart_failure", ("42823",), True),
    ("heart_failure", ("40291",), True),
    ("heart_failure", ("40492",), False),
    ("heart_failure", ("4254",), False),
    ("heart_failure", ("39891",), True),
    ("trauma", ("80500",), True),
    ("trauma", ("9599",), True),
    ("trauma", ("9051",), False),
    ("trauma", ("9190",), False),
    ("trauma", ("9331",), False),
    ("trauma", ("9600",), False),
    ("trauma", ("E8859",), False),
    ("trauma", ("7999",), False),
]


def with_services(hospital, folder: Path, services: list[dict[str, object]]) -> Path:
    columns = {"hadm_id": "Int64", "transfertime": "datetime64[us]", "curr_service": "string"}
    events = hospital.write(folder)
    pd.DataFrame(services, columns=list(columns)).astype(columns).to_parquet(
        events / "services.parquet", index=False
    )
    return events


@pytest.mark.parametrize(("cohort", "diagnoses", "expected"), KNOWN_CODES)
def test_a_handmade_admission_gets_the_published_answer(
    cohort, diagnoses, expected, hospital, tmp_path
) -> None:
    hospital.admit(1, diagnoses=diagnoses).admit(2, diagnoses=("4280", "80500"))
    table, _ = label_cohort(with_services(hospital, tmp_path, []), cohort, EVERYBODY, ["heart_rate"])
    assert table["meets_definition"].to_pylist() == [expected, True]


@pytest.mark.parametrize(("cohort", "service"), [("cardiac_surgery", "CSURG"), ("trauma", "TRAUM")])
def test_the_first_service_counts_and_a_later_one_does_not(cohort, service, hospital, tmp_path) -> None:
    hospital.admit(1).admit(2)
    # In another order than in time.
    services = [
        {"hadm_id": 1001, "transfertime": "2100-01-03", "curr_service": "MED"},
        {"hadm_id": 1001, "transfertime": "2100-01-01", "curr_service": service},
        {"hadm_id": 1002, "transfertime": "2100-01-03", "curr_service": service},
        {"hadm_id": 1002, "transfertime": "2100-01-01", "curr_service": "MED"},
    ]
    table, _ = label_cohort(with_services(hospital, tmp_path, services), cohort, EVERYBODY, ["heart_rate"])
    assert table["meets_definition"].to_pylist() == [True, False]


def test_respiratory_failure_begins_with_the_first_low_ratio_under_ventilation(source: Source) -> None:
    expected: dict[int, pd.Timestamp] = {}
    for gas in source.query("blood_gases").dropna(subset=["ratio"]).itertuples():
        if gas.ventilated and not gas.ratio > 300:
            expected[gas.icustay_id] = min(gas.charttime, expected.get(gas.icustay_id, gas.charttime))
    assert expected
    assert source.onsets("acute_respiratory_failure") == expected


def test_respiratory_failure_begins_at_300_mmhg_and_needs_the_ventilator(tmp_path: Path) -> None:
    ward = Ward()
    # The Berlin definition: 300 mmHg or less. PaO2 divided by an FiO2 of 50 %.
    for stay, (oxygen, on_ventilator) in enumerate([(150, True), (150.5, True), (150, False)], 1):
        ward.admit(stay).lab(stay, 1, 50800, "ART").lab(stay, 1, 50821, oxygen).lab(stay, 1, 50816, 50)
        if on_ventilator:
            ward.chart(stay, 0, 223849, "CMV").chart(stay, 2, 223849, "CMV")
    events = ward.write(tmp_path)
    assert Source(events, events).onsets("acute_respiratory_failure") == {1: ADMITTED + pd.Timedelta(hours=1)}


# The simulator's years lie beyond what pandas holds in nanoseconds.
DAY = pd.Timedelta(hours=24).as_unit("us")


def septic_shock_by_walking(source: Source) -> dict[int, pd.Timestamp]:
    """Walk through the moments of each septic stay at which anything changes; the first one with both is shock."""
    sepsis = source.query("sepsis3").set_index("icustay_id")["onset"]
    drugs = source.query("vasopressors").query("drug != 'dobutamine' and rate > 0")
    lactates = source.query("laboratory").dropna(subset=["lactate"]).sort_values("charttime")
    shocks = {}
    for stay, onset in sepsis.items():
        running = drugs[drugs["icustay_id"] == stay]
        drawn = lactates[lactates["icustay_id"] == stay]
        for moment in sorted({onset, *running["starttime"], *drawn["charttime"]}):
            infused = ((running["starttime"] <= moment) & (running["endtime"] > moment)).any()
            last = drawn[drawn["charttime"] <= moment].tail(1)
            recent = last[last["charttime"] > moment - DAY]
            if moment >= onset and infused and (recent["lactate"] > 2).any():
                shocks[stay] = moment
                break
    return shocks


def test_septic_shock_is_that_of_a_walk_through_each_stay(source: Source) -> None:
    expected = septic_shock_by_walking(source)
    assert expected
    assert source.onsets("septic_shock") == expected


# ITEMIDs of D_ITEMS and D_LABITEMS: norepinephrine, epinephrine, dopamine, phenylephrine, vasopressin; lactate.
VASOPRESSORS = [
    *[30047, 30120, 221906, 30044, 30119, 30309, 221289, 30043, 30307, 221662],
    *[30127, 30128, 221749, 30051, 222315],
]


def test_every_septic_shock_has_its_vasopressor_and_its_lactate_in_the_raw_tables(source: Source) -> None:
    infused = pd.concat(
        [source.read(f"inputevents_{system}")[["icustay_id", "itemid", "rate"]] for system in ("cv", "mv")]
    )
    infused = infused[infused["itemid"].isin(VASOPRESSORS) & (infused["rate"] > 0)]
    drawn = source.read("labevents").query("itemid == 50813 and valuenum > 2")
    patient = source.read("icustays").set_index("icustay_id")["subject_id"]
    shocks = set(source.onsets("septic_shock"))
    assert shocks <= set(infused["icustay_id"])
    assert {patient[stay] for stay in shocks} <= set(drawn["subject_id"])
    assert shocks <= set(source.onsets("sepsis3"))


@pytest.fixture
def bedside(hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict]:
    """Label septic shock of one stay, with its concepts written down as literal tables."""

    def label(vasopressors: str, lactates: str, onset: str = "first_hour") -> dict:
        folder = tmp_path / "concepts"
        folder.mkdir()
        tables = {
            "sepsis_onsets": ("icustay_id, first_hour, knowable", "(1, 06:00, 15:00)"),
            "vasopressors": ("icustay_id, drug, starttime, endtime, rate", vasopressors),
            "laboratory": ("icustay_id, charttime, lactate", lactates),
        }
        for name, (columns, rows) in tables.items():
            text = re.sub(r"(\d\d):(\d\d)(?!:)(?=[,)])", r"TIMESTAMP '2100-01-01 \1:\2:00'", rows)
            (folder / f"{name}.sql").write_text(f"SELECT * FROM (VALUES {text}) AS rows ({columns})")
        monkeypatch.setattr("workflow_scripts.cohorts.definitions.CONCEPTS_FOLDER", folder)
        monkeypatch.setattr("workflow_scripts.cohorts.events.CLINICAL_COLUMNS", {})
        hospital.admit(1)
        # A second stay that is in shock keeps the cohort from being empty.
        hospital.admit(2)
        query = (DEFINITIONS_FOLDER / "septic_shock.sql").read_text()
        own = tmp_path / "shock.sql"
        own.write_text(f"{query}\nUNION ALL SELECT 2, TIMESTAMP '2100-01-01 00:00:00'")
        events = hospital.write(tmp_path / "events")
        sepsis3 = Sepsis3Parameters(onset=onset)
        table, _ = label_cohort(events, "shock", EVERYBODY, ["heart_rate"], sepsis3=sepsis3, own=own)
        return table.to_pylist()[0]

    return label


NOREPINEPHRINE = "(1, 'norepinephrine', 08:00, 12:00, 0.1)"

# Vasopressors, lactates, hour of onset or None. Each line is one rule of the definition.
BEDSIDE = [
    (NOREPINEPHRINE, "(1, 07:00, 3.0)", "08:00"),
    (NOREPINEPHRINE, "(1, 09:00, 3.0)", "09:00"),
    (NOREPINEPHRINE, "(1, 12:30, 3.0)", None),
    (NOREPINEPHRINE, "(1, 07:00, 2.0)", None),
    (NOREPINEPHRINE, "(1, 07:00, 3.0), (1, 07:30, 1.5)", None),
    (NOREPINEPHRINE, "(1, 07:00, 3.0), (1, 07:30, 1.5), (1, 10:00, 2.1)", "10:00"),
    ("(1, 'norepinephrine', 02:00, 12:00, 0.1)", "(1, 03:00, 3.0)", "06:00"),
    ("(1, 'norepinephrine', 02:00, 05:00, 0.1)", "(1, 03:00, 3.0)", None),
    ("(1, 'dobutamine', 08:00, 12:00, 5.0)", "(1, 07:00, 3.0)", None),
    ("(1, 'norepinephrine', 08:00, 12:00, 0.0)", "(1, 07:00, 3.0)", None),
    ("(2, 'norepinephrine', 08:00, 12:00, 0.1)", "(1, 07:00, 3.0)", None),
]


def test_a_shock_is_knowable_once_the_sepsis_is(bedside) -> None:
    """The sepsis of 6 o'clock is known at 15; the shock lasted from 8 to 12."""
    row = bedside(NOREPINEPHRINE, "(1, 07:00, 3.0)", onset="knowable")
    assert row["onset"] == pd.Timestamp("2100-01-01 15:00")


@pytest.mark.parametrize(("vasopressors", "lactates", "onset"), BEDSIDE)
def test_septic_shock_needs_both_at_one_time_and_after_the_onset_of_sepsis(
    vasopressors: str, lactates: str, onset: str | None, bedside
) -> None:
    row = bedside(vasopressors, lactates)
    assert row["meets_definition"] is (onset is not None)
    assert row["onset"] == (pd.Timestamp(f"2100-01-01 {onset}") if onset else None)


def test_a_lactate_holds_for_24_hours_at_most(bedside) -> None:
    late = "(1, 'norepinephrine', TIMESTAMP '2100-01-02 08:00:00', TIMESTAMP '2100-01-02 12:00:00', 0.1)"
    assert not bedside(late, "(1, 07:00, 9.0)")["meets_definition"]


COHORTS = ["septic_shock", "acute_respiratory_failure", "heart_failure", "cardiac_surgery", "trauma"]
ONE_ROW_EACH = {"patients", "admissions", "icustays"}
SPECIMEN = 50800


def rewritten(source: Source, folder: Path, change: Callable[[str, pd.DataFrame], pd.DataFrame]) -> Source:
    """The source with every events table changed."""
    folder.mkdir()
    for path in source.events.glob("*.parquet"):
        table = pq.read_table(path)
        changed = change(path.stem, table.to_pandas(integer_object_nulls=True))
        pq.write_table(pa.Table.from_pandas(changed, table.schema, preserve_index=False), folder / path.name)
    return Source(source.raw, folder)


@pytest.fixture(scope="module")
def shifted(simulated: Source, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The simulated patients with rows in another order, some twice, and each patient in another year."""

    def change(name: str, frame: pd.DataFrame) -> pd.DataFrame:
        if name not in ONE_ROW_EACH:
            repeated = frame.iloc[::7]
            if name == "labevents":  # A second specimen at one time makes its blood gas ambiguous.
                repeated = repeated[repeated["itemid"] != SPECIMEN]
            frame = pd.concat([frame, repeated])
        shift = pd.to_timedelta(7 * (frame["subject_id"] % 50 - 25), unit="D").astype("timedelta64[us]")
        for column in frame.select_dtypes("datetime"):
            frame[column] += shift
        return frame.sample(frac=1, random_state=0)

    return rewritten(simulated, tmp_path_factory.mktemp("shifted") / "events", change)


@pytest.fixture(scope="module")
def fewer(simulated: Source, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Every other simulated patient."""

    def change(_name: str, frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["subject_id"] % 2 == 0]

    return rewritten(simulated, tmp_path_factory.mktemp("fewer") / "events", change)


@pytest.mark.parametrize("cohort", COHORTS)
def test_order_repeated_rows_and_shifted_years_change_no_label(
    cohort: str, simulated: Source, shifted: Source
) -> None:
    patient = simulated.read("icustays").set_index("icustay_id")["subject_id"]
    expected = {
        stay: onset and onset + pd.Timedelta(days=7 * (patient[stay] % 50 - 25)).to_pytimedelta()
        for stay, onset in simulated.onsets(cohort).items()
    }
    assert shifted.onsets(cohort) == expected


@pytest.mark.parametrize("cohort", COHORTS)
def test_other_patients_change_no_label(cohort: str, simulated: Source, fewer: Source) -> None:
    patient = simulated.read("icustays").set_index("icustay_id")["subject_id"]
    everybody = simulated.onsets(cohort).items()
    assert fewer.onsets(cohort) == {stay: onset for stay, onset in everybody if patient[stay] % 2 == 0}


DOCUMENT = Path(__file__).parents[2] / "docs" / "cohorts.md"


def test_the_own_cohort_of_the_document_is_labelled_as_pandas_labels_it(
    source: Source, tmp_path: Path
) -> None:
    own = tmp_path / "prolonged_ventilation.sql"
    own.write_text(re.search(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1])
    table, attrition = label_cohort(
        source.events, "prolonged_ventilation", EVERYBODY, ["heart_rate"], own=own
    )
    ventilated = source.query("ventilation")
    long = ventilated[(ventilated["endtime"] - ventilated["starttime"]) > 2 * DAY]
    expected = (long.groupby("icustay_id")["starttime"].min() + 2 * DAY).to_dict()
    labelled = {row["icustay_id"]: row["onset"] for row in table.to_pylist() if row["meets_definition"]}
    assert expected
    assert labelled == expected
    assert [row.stays for row in attrition if row.step == "definition"] == [len(expected)]


@pytest.mark.demo
def test_the_document_s_counts_are_those_that_the_command_prints(demo: Source) -> None:
    command = [sys.executable, "-m", "workflow_scripts.steps.count_cohorts", "--events", str(demo.events)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stdout in DOCUMENT.read_text()
    assert printed.stderr == ""


@pytest.mark.demo
def test_a_patient_of_the_demo_is_in_one_split_in_all_cohorts_that_have_windows(
    demo: Source, tmp_path: Path
) -> None:
    """With the settings of params/demo.yaml, which has its share of test patients in its two cohorts."""
    windows = WindowParameters(**yaml.safe_load(Path("params/demo.yaml").read_text())["windows"])
    vitals, path = ["heart_rate", "mean_blood_pressure"], tmp_path / "cohort.parquet"
    found = []
    for cohort in definition_names():
        table, _ = label_cohort(demo.events, cohort, CohortParameters(), vitals)
        pq.write_table(table, path)
        for vital in vitals:
            if cohort == "cardiac_surgery":  # Four patients, none of whom is a test patient.
                with pytest.raises(UserError, match="a split without windows"):
                    make_windows(demo.events / "vitals.parquet", path, vital, windows, "", 0, 300)
                continue
            made, _ = make_windows(demo.events / "vitals.parquet", path, vital, windows, "", 0, 300)
            found.append(pd.DataFrame({"cohort": cohort, "patient": made.subject_id, "split": made.split}))
    splits = pd.concat(found).drop_duplicates()
    assert (splits.groupby("patient")["split"].nunique() == 1).all()
    test_patients = splits[splits["split"] == "test"].groupby("cohort").size()
    assert (test_patients["sepsis3"], test_patients["explicit"]) == (14, 4)
