"""The simulated folder: determinism, schema, keys, planted physiology, evidence and mess.

Bounds on statistics are wide around what the simulator's text promises; the folder has 200 patients.
"""

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.sources.mimic_iii.canaries import is_simulated_identifier
from workflow_scripts.sources.mimic_iii.extraction import extract_events
from workflow_scripts.sources.mimic_iii.items import clinical_itemids, load_vital_signs
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters, SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic
from workflow_scripts.sources.mimic_iii.tables import TABLES

Read = Callable[[str], pd.DataFrame]
EXPLICIT = ["99592", "78552"]
WITH_PATIENTS = [table for table in TABLES if "subject_id" in TABLES[table]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "raw"
    folder.mkdir()
    simulate_mimic(SimulatorParameters(patients=200), folder)
    return folder


@pytest.fixture(scope="module")
def read(folder: Path) -> Read:
    """Read a table with lower-case columns; codes stay text and times become times."""
    tables: dict[str, pd.DataFrame] = {}

    def read_table(table: str) -> pd.DataFrame:
        if table not in tables:
            texts = [name.upper() for name, kind in TABLES[table].items() if kind == "text"]
            frame = pd.read_csv(
                folder / f"{table.upper()}.csv.gz",
                dtype=dict.fromkeys(texts, str),
                keep_default_na=False,
                na_values=[""],
            ).rename(columns=str.lower)
            for name, kind in TABLES[table].items():
                if kind == "time":
                    frame[name] = frame[name].astype("datetime64[s]")
            tables[table] = frame
        return tables[table]

    return read_table


@pytest.fixture(scope="module")
def vitals(folder: Path) -> pd.DataFrame:
    extract_events(folder, folder.parent / "events", ExtractionParameters())
    return pd.read_parquet(folder.parent / "events" / "vitals.parquet")


def simulated(tmp_path: Path, name: str, **settings: float) -> dict[str, bytes]:
    folder = tmp_path / name
    folder.mkdir()
    simulate_mimic(SimulatorParameters.model_validate(settings), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- the same every time


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    assert simulated(tmp_path, "a", patients=60) == simulated(tmp_path, "b", patients=60)


def test_another_seed_gives_other_patients(tmp_path: Path) -> None:
    first = simulated(tmp_path, "a", patients=20, seed=1)
    second = simulated(tmp_path, "b", patients=20, seed=2)
    assert first["D_ITEMS.csv.gz"] == second["D_ITEMS.csv.gz"]
    assert first["CHARTEVENTS.csv.gz"] != second["CHARTEVENTS.csv.gz"]


def test_a_patient_is_the_same_however_many_others_there_are(tmp_path: Path, folder: Path) -> None:
    for name, content in simulated(tmp_path, "few", patients=70).items():
        few, many = gzip.decompress(content), gzip.decompress((folder / name).read_bytes())
        assert many.startswith(few)
        assert (len(few) < len(many)) == (name.removesuffix(".csv.gz").lower() in WITH_PATIENTS)


def test_gzip_headers_hold_neither_time_nor_name(folder: Path) -> None:
    for path in folder.iterdir():
        flags, modified = path.read_bytes()[3], path.read_bytes()[4:8]
        assert (flags, modified) == (0, bytes(4))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_patients() -> None:
    code = (
        "import re, tempfile; from pathlib import Path\n"
        "from workflow_scripts.sources.mimic_iii.simulator import simulate_mimic\n"
        "from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters\n"
        "for patients in (50, 250):\n"
        "    with tempfile.TemporaryDirectory() as name:\n"
        "        simulate_mimic(SimulatorParameters(patients=patients), Path(name))\n"
        # Not getrusage: its peak is inherited from the process that started this one.
        "    print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    small, large = (int(line) / 1024 for line in output.split())
    assert large < 600
    assert large - small < 100


# ---- schema and keys


def test_headers_are_the_releases_in_upper_case(folder: Path) -> None:
    for table, columns in TABLES.items():
        with gzip.open(folder / f"{table.upper()}.csv.gz", "rt", encoding="utf-8") as stream:
            assert next(csv.reader(stream)) == [name.upper() for name in columns]


@pytest.mark.demo
@pytest.mark.parametrize(
    ("table", "key"),
    [("d_items", "itemid"), ("d_labitems", "itemid"), ("d_icd_diagnoses", "icd9_code"),
     ("d_icd_procedures", "icd9_code")],
)  # fmt: skip
def test_dictionary_entries_are_those_of_the_real_demo(
    demo_folder: Path, read: Read, table: str, key: str
) -> None:
    ours = read(table).drop(columns="row_id").set_index(key)
    theirs = pd.read_csv(
        demo_folder / f"{table.upper()}.csv.gz", dtype=str, keep_default_na=False, na_values=[""]
    )
    if key == "itemid":
        theirs[key] = theirs[key].astype(int)
    theirs = theirs.drop(columns="row_id").set_index(key).loc[ours.index]
    assert ours.astype(object).fillna("").equals(theirs.astype(object).fillna(""))


@pytest.mark.parametrize(
    "table", ["chartevents", "outputevents", "inputevents_cv", "inputevents_mv", "procedureevents_mv"]
)
def test_events_use_their_own_systems_items(read: Read, table: str) -> None:
    items = read("d_items").set_index("itemid")
    events = read(table)
    assert (items.loc[events["itemid"], "linksto"] == table).all()
    systems = events.merge(read("icustays")[["hadm_id", "dbsource"]].drop_duplicates(), on="hadm_id")
    assert (items.loc[systems["itemid"], "dbsource"].to_numpy() == systems["dbsource"].to_numpy()).all()


def test_both_systems_have_about_half_of_the_patients(read: Read) -> None:
    share = (read("icustays").drop_duplicates("subject_id")["dbsource"] == "carevue").mean()
    assert 0.4 < share < 0.6


def test_codes_and_laboratory_items_are_in_their_dictionaries(read: Read) -> None:
    assert read("labevents")["itemid"].isin(read("d_labitems")["itemid"]).all()
    for kind in ("diagnoses", "procedures"):
        assert read(f"{kind}_icd")["icd9_code"].isin(read(f"d_icd_{kind}")["icd9_code"]).all()


def test_primary_keys_are_unique_and_references_hold(read: Read) -> None:
    for table, key in [("patients", "subject_id"), ("admissions", "hadm_id"), ("icustays", "icustay_id")]:
        assert read(table)[key].is_unique
    pairs = set(map(tuple, read("admissions")[["subject_id", "hadm_id"]].to_numpy()))
    for table in WITH_PATIENTS:
        assert read(table)["row_id"].is_monotonic_increasing
        if table != "patients":
            found = set(map(tuple, read(table)[["subject_id", "hadm_id"]].drop_duplicates().to_numpy()))
            assert found <= pairs


def test_times_are_in_order(read: Read) -> None:
    stays = read("icustays").merge(read("admissions"), on="hadm_id")
    assert (stays["admittime"] <= stays["intime"]).all()
    assert (stays["intime"] < stays["outtime"]).all()
    assert (stays["outtime"] <= stays["dischtime"]).all()
    in_order = read("icustays").sort_values(["subject_id", "intime"])
    earlier = in_order.groupby("subject_id")["outtime"].shift()
    assert (earlier.isna() | (earlier < in_order["intime"])).all()
    chart = read("chartevents").merge(read("icustays"), on="icustay_id")
    assert chart["charttime"].between(chart["intime"], chart["outtime"]).all()


def test_the_dead_have_no_later_admission(read: Read) -> None:
    admissions = read("admissions")
    last = admissions.groupby("subject_id")["admittime"].transform("max")
    dead = admissions["hospital_expire_flag"] == 1
    assert (admissions["admittime"] == last)[dead].all()
    assert (admissions["deathtime"].notna() == dead).all()


def test_every_identifier_and_date_is_recognisably_simulated(read: Read) -> None:
    # Real MIMIC-III has subjects below 100,000, admissions and stays below 300,000, dates before 2230.
    for table in WITH_PATIENTS:
        frame = read(table)
        for name in {"subject_id", "hadm_id", "icustay_id"} & set(frame):
            identifiers = frame[name].dropna().astype("int64")
            assert identifiers.between(31e9 - 9_973, 1e11 - 1).all()
            assert (identifiers % 9_973 == 0).all()
            assert identifiers.map(is_simulated_identifier).all()
        for name, kind in TABLES[table].items():
            if kind == "time":
                assert frame[name].dropna().dt.year.between(2300, 2799).all()


def test_patients_admissions_and_stays_share_no_identifier(read: Read) -> None:
    stays = read("icustays")
    kinds = [set(stays[name]) for name in ("subject_id", "hadm_id", "icustay_id")]
    assert len(set.union(*kinds)) == sum(map(len, kinds))


# ---- what is planted


def test_about_half_of_the_patients_have_explicit_sepsis(read: Read) -> None:
    diagnoses = read("diagnoses_icd")
    share = diagnoses.loc[diagnoses["icd9_code"].isin(EXPLICIT), "subject_id"].nunique() / 200
    assert 0.40 <= share <= 0.55


def test_the_septic_fraction_is_a_parameter(tmp_path: Path) -> None:
    for fraction, expected in ((0.0, 0.0), (1.0, 1.0)):
        folder = tmp_path / str(fraction)
        folder.mkdir()
        simulate_mimic(SimulatorParameters(patients=40, septic_fraction=fraction), folder)
        codes = pd.read_csv(folder / "DIAGNOSES_ICD.csv.gz", dtype={"ICD9_CODE": str})
        found = codes.loc[codes["ICD9_CODE"].isin(EXPLICIT), "SUBJECT_ID"].nunique() / 40
        assert abs(found - expected) <= 0.2


def septic_admissions(read: Read) -> pd.Series:
    diagnoses = read("diagnoses_icd")
    return diagnoses.loc[diagnoses["icd9_code"].isin(EXPLICIT), "hadm_id"].drop_duplicates()


def test_stays_last_days_and_the_septic_die_more_often(read: Read) -> None:
    days = read("icustays")["los"]
    assert days.between(2, 12).mean() > 0.8
    admissions = read("admissions")
    septic = admissions["hadm_id"].isin(septic_admissions(read))
    died = admissions["hospital_expire_flag"]
    assert 0.10 < died[septic].mean() < 0.35
    assert died[~septic].mean() < 0.10


def test_heart_rates_are_charted_about_hourly_with_gaps(vitals: pd.DataFrame) -> None:
    rates = vitals[vitals["vital"] == "heart_rate"]
    hours = rates.assign(hour=rates["charttime"].dt.floor("h")).drop_duplicates(["icustay_id", "hour"])
    steps = hours.groupby("icustay_id")["hour"].diff().dropna() / pd.Timedelta(hours=1)
    assert 0.85 < (steps == 1).mean() < 0.99
    assert (steps >= 4).sum() > 10
    assert (rates["charttime"].dt.minute != 0).mean() > 0.05


# Vital sign that the simulator charts -> interquartile range of the open demo (extraction of this project, all 136
# stays), widened a little. Others may be added to items.yaml; the simulator need not chart them.
SIMULATED_SIGNS = {
    "heart_rate": (75, 100),
    "systolic_blood_pressure": (101, 132),
    "diastolic_blood_pressure": (48, 67),
    "mean_blood_pressure": (65, 85),
    "mean_blood_pressure_derived": (66, 88),
    "respiratory_rate": (15, 25),
    "spo2": (95.5, 100),
    "temperature": (36.3, 37.5),
}


def test_every_simulated_vital_sign_is_charted_and_is_where_patients_are(vitals: pd.DataFrame) -> None:
    medians = vitals.groupby("vital")["value"].median()
    assert set(SIMULATED_SIGNS) <= set(medians.index)
    for vital, (low, high) in SIMULATED_SIGNS.items():
        assert low < medians[vital] < high


def around_onset(read: Read, vitals: pd.DataFrame) -> pd.DataFrame:
    """Mean of each vital 10 to 2 h before, and 5 to 17 h after, an onset well within the stay.

    The onset is read from the folder's own evidence: the first blood culture with a time.
    """
    cultures = read("microbiologyevents")
    blood = cultures[(cultures["spec_itemid"] == 70012) & cultures["hadm_id"].isin(septic_admissions(read))]
    first = blood.dropna(subset="charttime").groupby("hadm_id", as_index=False)["charttime"].min()
    first = first.rename(columns={"charttime": "onset"}).merge(
        read("icustays").drop_duplicates("hadm_id")[["hadm_id", "icustay_id", "intime"]], on="hadm_id"
    )
    late = first[first["onset"] - first["intime"] > pd.Timedelta(hours=11)]
    rows = vitals.merge(late[["icustay_id", "onset"]], on="icustay_id")
    hours = (rows["charttime"] - rows["onset"]) / pd.Timedelta(hours=1)
    rows["phase"] = np.select([hours.between(-10, -2), hours.between(5, 17)], ["before", "after"], "")
    means = rows[rows["phase"] != ""].groupby(["vital", "icustay_id", "phase"])["value"].mean().unstack()
    return means.dropna()


def test_sepsis_brings_fever_tachycardia_tachypnoea_and_falling_pressure(
    read: Read, vitals: pd.DataFrame
) -> None:
    means = around_onset(read, vitals)
    change = (means["after"] - means["before"]).groupby("vital").mean()
    assert len(means.loc["heart_rate"]) >= 20
    assert change["heart_rate"] > 8
    assert change["respiratory_rate"] > 1.5
    assert change["temperature"] > 0.3
    assert change["mean_blood_pressure"] < -5
    assert change["spo2"] < 0


def test_hearts_beat_faster_by_day_and_remember_the_last_hour(read: Read, vitals: pd.DataFrame) -> None:
    rates = vitals[(vitals["vital"] == "heart_rate") & ~vitals["hadm_id"].isin(septic_admissions(read))]
    centred = rates["value"] - rates.groupby("icustay_id")["value"].transform("mean")
    hour = rates["charttime"].dt.hour
    assert 2 < centred[hour.between(13, 19)].mean() - centred[hour.between(1, 7)].mean() < 9
    hourly = rates.assign(hour=rates["charttime"].dt.floor("h"), value=centred)
    hourly = hourly.groupby(["icustay_id", "hour"])["value"].mean().reset_index()
    previous = hourly.groupby("icustay_id").shift()
    adjacent = hourly["hour"] - previous["hour"] == pd.Timedelta(hours=1)
    assert 0.5 < hourly["value"][adjacent].corr(previous["value"][adjacent]) < 0.95


def test_patients_have_set_points_of_their_own(vitals: pd.DataFrame) -> None:
    rates = vitals[vitals["vital"] == "heart_rate"].groupby("icustay_id")["value"]
    # The open demo: 14.6 between stays, 8.8 within a stay (medians of charted hours).
    assert 9 < rates.mean().std() < 20
    assert 4 < rates.std().median() < 12


def test_the_septic_have_cultures_antibiotics_and_disturbed_organs(read: Read) -> None:
    septic = septic_admissions(read)
    cultures, drugs, labs = read("microbiologyevents"), read("prescriptions"), read("labevents")
    antibiotics = drugs[
        drugs["drug"].str.contains("Vanco|Piper|CefeP|Mero|CeftriaX") & (drugs["route"] == "IV")
    ]
    assert septic.isin(cultures["hadm_id"]).mean() > 0.95
    assert septic.isin(antibiotics["hadm_id"]).mean() > 0.95
    others = read("admissions").loc[lambda frame: ~frame["hadm_id"].isin(septic), "hadm_id"]
    assert others.isin(antibiotics["hadm_id"]).mean() < 0.4

    def worst(itemid: int, how: str) -> pd.Series:
        return labs[labs["itemid"] == itemid].groupby("hadm_id")["valuenum"].agg(how)

    for itemid, how, sign in [(50912, "max", 1), (51301, "max", 1), (51265, "min", -1), (50885, "max", 1)]:
        values = worst(itemid, how)
        in_sepsis = values.index.isin(septic)
        assert sign * (values[in_sepsis].median() - values[~in_sepsis].median()) > 0
    assert (worst(50813, "max") > 2).sum() > 30
    oxygen, inspired = worst(50821, "min"), worst(50816, "max")
    assert ((oxygen / (inspired / 100)).dropna() < 300).sum() > 20


def test_vasopressors_coma_and_little_urine_are_charted_in_both_systems(read: Read) -> None:
    assert (read("inputevents_cv").query("itemid == 30120")["rate"] > 0.05).sum() > 50
    assert (read("inputevents_mv").query("itemid == 221906")["rate"] > 0.05).sum() > 50
    chart = read("chartevents")
    for itemid in (184, 454, 723, 220739, 223901, 223900):
        points = chart.loc[chart["itemid"] == itemid, "valuenum"].dropna()
        assert points.min() == 1
        assert points.nunique() >= 3
    urine = read("outputevents")
    low = urine.groupby("icustay_id")["value"].min() < 20
    assert 0.05 < low.mean() < 0.9
    assert set(read("procedureevents_mv")["itemid"]) == {225792, 225401, 224385, 227194}


# ---- the bulk of the real thing


def test_routine_events_are_known_items_that_no_study_reads(tmp_path: Path, folder: Path) -> None:
    plain = simulated(tmp_path, "plain", patients=50)["CHARTEVENTS.csv.gz"]
    routine = simulated(tmp_path, "routine", patients=50, routine_events=3)
    few, many = (pd.read_csv(io.BytesIO(gzip.decompress(data)), usecols=["ITEMID", "VALUENUM"], low_memory=False)
                 for data in (plain, routine["CHARTEVENTS.csv.gz"]))  # fmt: skip
    assert len(many) == pytest.approx(4 * len(few), rel=0.01)
    added = set(many["ITEMID"]) - set(few["ITEMID"])
    assert added.isdisjoint(clinical_itemids("chartevents"))
    signs = load_vital_signs()
    assert added.isdisjoint(item.itemid for name in SIMULATED_SIGNS for item in signs[name].items)
    assert added <= set(pd.read_csv(folder / "D_ITEMS.csv.gz")["ITEMID"])
    # In the open demo, 57 % of the chart events have no number.
    assert 0.4 < many.loc[many["ITEMID"].isin(added), "VALUENUM"].isna().mean() < 0.9


# ---- the mess of the real thing


def test_chart_events_have_duplicates_errors_losses_and_slips(read: Read) -> None:
    chart = read("chartevents")
    metavision = chart["itemid"] >= 220000
    same = ["icustay_id", "itemid", "charttime", "value"]
    assert 0.002 < chart.duplicated(same).mean() < 0.02
    assert (chart.loc[metavision, "error"] == 1).sum() > 50
    assert chart.loc[~metavision, "error"].isna().all()
    assert chart.loc[~metavision, "warning"].isna().all()
    assert chart.loc[~metavision, "stopped"].isin(["NotStopd", "D/C'd"]).all()
    assert 0.001 < chart["icustay_id"].isna().mean() < 0.02
    rates = chart[chart["itemid"].isin([211, 220045])]["valuenum"]
    assert (rates == 999999).sum() > 0
    assert (rates == 0).sum() > 0
    assert rates.between(400, 2500).sum() > 0
    assert rates.isna().sum() > 0


def test_temperatures_come_in_fahrenheit_and_celsius_and_confused(read: Read) -> None:
    chart = read("chartevents")
    for itemid, low, high in [(678, 93, 105), (223761, 93, 105), (676, 34, 41), (223762, 34, 41)]:
        values = chart.loc[chart["itemid"] == itemid, "valuenum"]
        assert values.between(low, high).mean() > 0.95
    celsius = chart.loc[chart["itemid"].isin([676, 223762]), "valuenum"]
    assert celsius.between(93, 107).sum() > 3
    assert {"Deg. C", "Deg. F"} <= set(chart["valueuom"].dropna())


def test_some_pressures_are_inconsistent_and_lines_damped(read: Read) -> None:
    chart = read("chartevents").drop_duplicates(["icustay_id", "charttime", "itemid"])
    table = chart[chart["itemid"].isin([220050, 220051])].pivot(
        index=["icustay_id", "charttime"], columns="itemid", values="valuenum"
    )
    bad = (table[220050] <= table[220051] + 4).mean()
    assert 0.0005 < bad < 0.02


def test_texts_hold_quoted_commas(folder: Path, read: Read) -> None:
    text = gzip.decompress((folder / "CHARTEVENTS.csv.gz").read_bytes()).decode()
    assert text.count(',"Arm, Right Lower",') > 10
    assert read("microbiologyevents")["org_name"].dropna().str.contains(",").any()


def test_some_stays_have_no_chart_event(read: Read) -> None:
    stays = read("icustays")
    silent = ~stays["icustay_id"].isin(read("chartevents")["icustay_id"])
    assert 1 <= silent.sum() <= 0.1 * len(stays)
    flagged = read("admissions").set_index("hadm_id")["has_chartevents_data"]
    whole = silent.groupby(stays["hadm_id"]).all()
    assert (flagged[whole.index] == (~whole).astype(int)).all()


def test_ages_above_89_are_shifted_to_300_years(read: Read) -> None:
    first = read("admissions").groupby("subject_id")["admittime"].min()
    born = read("patients").set_index("subject_id")["dob"]
    years = (first - born).dt.days / 365.2425
    assert (years > 299.9).sum() >= 3
    assert (years[years < 200] <= 89.1).all()
    assert (years < 18).sum() >= 1


def test_some_admissions_have_several_stays_and_some_patients_several_admissions(read: Read) -> None:
    assert (read("icustays").groupby("hadm_id").size() > 1).sum() > 5
    assert (read("admissions").groupby("subject_id").size() > 1).sum() > 10


def test_some_cultures_have_only_a_date(read: Read) -> None:
    cultures = read("microbiologyevents")
    assert cultures["chartdate"].notna().all()
    assert 0.02 < cultures["charttime"].isna().mean() < 0.3


# ---- the step


def test_the_step_writes_the_folder_whole(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"code": "", "parameters": {"simulator": {"patients": 20}}}))
    output = tmp_path / "raw" / "simulated"
    command = [sys.executable, "-m", "workflow_scripts.steps.simulate_mimic", "--settings", str(settings)]
    result = subprocess.run([*command, "--output", str(output)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in output.glob("[!.]*")} == {f"{table.upper()}.csv.gz" for table in TABLES}
    assert list(output.parent.iterdir()) == [output]
    assert "PATIENTS                       20 rows" in result.stderr


def test_hourly_vital_signs_are_as_spread_and_as_restless_as_real_ones(read: Read) -> None:
    """Expected: the open demo, by benchmarks.realism (docs/simulator.md); within a fifth, of 200 patients."""
    real = {220045: (17.8, 25.0), 220052: (15.9, 37.0), 220210: (6.56, 15.0)}
    events = read("chartevents")
    ranges = {220045: (20, 250), 220052: (10, 250), 220210: (1, 70)}
    for itemid, (spread, jump) in real.items():
        low, high = ranges[itemid]
        rows = events[(events["itemid"] == itemid) & events["valuenum"].between(low, high)]
        hour = rows["charttime"].dt.floor("h")
        hourly = rows.groupby(["icustay_id", hour])["valuenum"].median().reset_index()
        steps = hourly.groupby("icustay_id")[["charttime", "valuenum"]].diff().dropna()
        change = steps["valuenum"][steps["charttime"] == pd.Timedelta(hours=1)].abs()
        assert hourly["valuenum"].std() == pytest.approx(spread, rel=0.2)
        assert change.quantile(0.99) == pytest.approx(jump, rel=0.2)
