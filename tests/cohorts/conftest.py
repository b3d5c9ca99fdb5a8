"""Events tables for the cohort tests: from the open demo's CSVs, and small handmade ones."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.mimic_iii.extraction import extract_events
from workflow_scripts.sources.mimic_iii.parameters import ExtractionParameters

# ITEMIDs of heart rate and of the measured mean arterial pressure (CareVue, MetaVision), from D_ITEMS.
DEMO_ITEMS = {
    211: "heart_rate",
    220045: "heart_rate",
    456: "mean_blood_pressure",
    52: "mean_blood_pressure",
    220181: "mean_blood_pressure",
    220052: "mean_blood_pressure",
}
TIMES = {"dob", "dod", "admittime", "dischtime", "deathtime", "intime", "outtime", "charttime"}
COLUMNS = {
    "patients": ["subject_id", "gender", "dob", "dod"],
    "admissions": [
        "subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "ethnicity", "hospital_expire_flag",
    ],
    "icustays": ["subject_id", "hadm_id", "icustay_id", "dbsource", "first_careunit", "intime", "outtime"],
    "diagnoses_icd": ["subject_id", "hadm_id", "seq_num", "icd9_code"],
    "procedures_icd": ["subject_id", "hadm_id", "seq_num", "icd9_code"],
    "vitals": ["subject_id", "hadm_id", "icustay_id", "charttime", "vital", "value"],
}  # fmt: skip
INTEGERS = {"subject_id", "hadm_id", "icustay_id", "seq_num", "hospital_expire_flag"}


def write_events(folder: Path, tables: dict[str, pd.DataFrame]) -> Path:
    """Write the events tables with the architecture document's types; a column that is not given is null."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in COLUMNS.items():
        table = tables.get(name, pd.DataFrame()).reindex(columns=columns)
        for column in columns:
            if column in TIMES:
                table[column] = table[column].astype("datetime64[us]")
            elif column in INTEGERS:
                table[column] = table[column].astype("Int64")
            elif column == "value":
                table[column] = table[column].astype("float32")
            else:
                table[column] = table[column].astype("string")
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


@pytest.fixture(scope="session")
def events_writer() -> Callable[[Path, dict[str, pd.DataFrame]], Path]:
    return write_events


@pytest.fixture(scope="session")
def demo_tables() -> dict[str, pd.DataFrame]:
    """The open demo's tables, read by pandas alone."""
    if "MIMIC_DEMO_DIR" not in os.environ:
        pytest.skip("MIMIC_DEMO_DIR is not set")
    demo = Path(os.environ["MIMIC_DEMO_DIR"])
    codes = {"icd9_code": "string"}
    tables = {
        name: pd.read_csv(demo / f"{name.upper()}.csv.gz", dtype=codes)
        for name in COLUMNS
        if name != "vitals"
    }
    charted = pd.read_csv(
        demo / "CHARTEVENTS.csv.gz",
        usecols=["subject_id", "hadm_id", "icustay_id", "itemid", "charttime", "valuenum"],
    )
    charted = charted[charted["itemid"].isin(DEMO_ITEMS)].dropna(subset=["valuenum"])
    tables["vitals"] = charted.assign(vital=charted["itemid"].map(DEMO_ITEMS), value=charted["valuenum"])
    return tables


@pytest.fixture(scope="session")
def demo_events(demo_tables: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_events(tmp_path_factory.mktemp("demo") / "events", demo_tables)


@pytest.fixture(scope="session")
def extracted_demo(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The open demo's events, as the extraction writes them."""
    folder = tmp_path_factory.mktemp("extracted") / "events"
    extract_events(demo_folder, folder, ExtractionParameters())
    return folder


class Hospital:
    """A small handmade hospital: one call adds a patient with one admission and one ICU stay."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}

    def admit(
        self,
        number: int,
        *,
        patient: int | None = None,
        born: str = "2050-01-01",
        intime: str = "2100-01-01 00:00:00",
        hours: float | None = 48,
        died: int = 0,
        diagnoses: tuple[str, ...] = (),
        procedures: tuple[str, ...] = (),
        charted: int = 30,
        gender: str | None = None,
        unit: str | None = None,
    ) -> "Hospital":
        """Add ICU stay `number` (its admission is number + 1000), with `charted` hourly heart rates."""
        subject = number if patient is None else patient
        start = pd.Timestamp(intime)
        keys = {"subject_id": subject, "hadm_id": number + 1000}
        if subject not in {row["subject_id"] for row in self.rows["patients"]}:
            self.rows["patients"].append(
                {"subject_id": subject, "gender": gender, "dob": pd.Timestamp(born).to_datetime64()}
            )
        self.rows["admissions"].append({**keys, "admittime": start, "hospital_expire_flag": died})
        outtime = pd.NaT if hours is None else start + pd.Timedelta(hours=hours)
        self.rows["icustays"].append(
            {**keys, "icustay_id": number, "first_careunit": unit, "intime": start, "outtime": outtime}
        )
        for table, codes in (("diagnoses_icd", diagnoses), ("procedures_icd", procedures)):
            self.rows[table] += [{**keys, "seq_num": n, "icd9_code": code} for n, code in enumerate(codes, 1)]
        self.rows["vitals"] += [
            {
                **keys,
                "icustay_id": number,
                "charttime": start + pd.Timedelta(hours=hour),
                "vital": "heart_rate",
                "value": 80.0,
            }
            for hour in range(charted)
        ]
        return self

    def tables(self) -> dict[str, pd.DataFrame]:
        return {name: pd.DataFrame(rows) for name, rows in self.rows.items()}

    def write(self, folder: Path) -> Path:
        return write_events(folder, self.tables())


@pytest.fixture
def hospital() -> Hospital:
    return Hospital()


@pytest.fixture(scope="session")
def make_hospital() -> Callable[[], Hospital]:
    return Hospital


@pytest.fixture
def user_error() -> Callable[[Callable[[], Any]], UserError]:
    """Give a function that runs an action and returns the UserError that it must raise."""

    def catch(action: Callable[[], Any]) -> UserError:
        with pytest.raises(UserError) as caught:
            action()
        return caught.value

    return catch
