"""From the Challenge's records to the tables of vital signs and stays.

A row of a record is one hour. ICULOS counts the hours since ICU admission from 1, and a record that begins with 1 has
an empty first row. So a row's time is taken as ICULOS - 1 hours after the admission; a stay begins with its record's
first row and ends an hour after the last. All admissions are at ADMISSION: the data have no calendar.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.sources.challenge_2019.parsing import VITALS, Block, read_blocks
from workflow_scripts.sources.challenge_2019.records import FIRST_OF_HOSPITAL_B, open_records, record_name
from workflow_scripts.sources.contract import OUTSIDE
from workflow_scripts.sources.mimic_iii.items import load_vital_signs

ADMISSION = np.datetime64("2019-01-01T00:00:00", "us")
HOUR = np.timedelta64(1, "h")
LABEL_LEADS_HOURS = 6
"""The label becomes 1 six hours before the onset of sepsis."""

VALUES_SCHEMA = pa.schema(
    [
        ("icustay_id", pa.dictionary(pa.int32(), pa.string())),
        ("charttime", pa.timestamp("us")),
        ("vital", pa.string()),
        ("value", pa.float64()),
    ]
)
STAYS_SCHEMA = pa.schema(
    [
        ("subject_id", pa.string()),
        ("subject_kind", pa.string()),
        ("icustay_id", pa.string()),
        ("intime", pa.timestamp("us")),
        ("outtime", pa.timestamp("us")),
        ("age_years", pa.float64()),
        ("sex", pa.string()),
        ("icu_type", pa.string()),
        ("hospital", pa.string()),
        ("died_in_hospital", pa.bool_()),
        ("septic", pa.bool_()),
        ("onset", pa.timestamp("us")),
    ]
)


def write_tables(raw: Path, folder: Path, plausible_ranges: bool = True) -> dict[str, int]:
    """Write vitals.parquet and stays.parquet into a folder and return what was found, in words, and how often.

    raw: as records.open_records takes it. plausible_ranges: whether values outside them are left
    out. Raises UserError as open_records and read_blocks do.
    """
    counts: Counter[str] = Counter()
    with (
        open_records(raw) as records,
        pq.ParquetWriter(folder / "vitals.parquet", VALUES_SCHEMA) as values,
        pq.ParquetWriter(folder / "stays.parquet", STAYS_SCHEMA) as stays,
    ):
        for block in read_blocks(records):
            _write_values(values, block, counts, plausible_ranges)
            table = _stays(block, counts)
            stays.write_table(table)
    return dict(counts)


def _identifiers(block: Block) -> pa.Array:
    """The name of each record, as `p000001`: stay and patient are called so, as a number alone could be anything."""
    return pa.array([record_name(number) for number in block.numbers.tolist()])


def _times(block: Block) -> np.ndarray:
    """The time of each row."""
    return ADMISSION + (block.column("ICULOS") - 1).astype(np.int64) * HOUR


def _write_values(
    writer: pq.ParquetWriter, block: Block, counts: Counter[str], plausible_ranges: bool
) -> None:
    """Write the block's values, each vital sign as a row group, so that one can be read without the others."""
    signs = load_vital_signs()
    record = np.repeat(np.arange(len(block.rows), dtype=np.int32), block.rows)
    time, identifiers = _times(block), _identifiers(block)
    charted = np.zeros(len(record), dtype=bool)
    for column, vital in VITALS.items():
        value = block.column(column)
        known = np.isfinite(value)
        charted |= known
        plausible = known & signs[vital].plausible.holds_all(value)
        kept = plausible if plausible_ranges else known
        counts[OUTSIDE[plausible_ranges]] += int((known & ~plausible).sum())
        counts["values"] += int(kept.sum())
        names = pa.array([vital]).take(pa.array(np.zeros(kept.sum(), dtype=np.int8)))
        stay = pa.DictionaryArray.from_arrays(record[kept], identifiers)
        columns = [stay, pa.array(time[kept]), names, pa.array(value[kept])]
        writer.write_table(pa.Table.from_arrays(columns, schema=VALUES_SCHEMA))
    counts["hours"] += len(record)
    counts["hours without any vital sign"] += int((~charted).sum())


def _stays(block: Block, counts: Counter[str]) -> pa.Table:
    """One row for each record: the stay, what is known of the patient, and the onset of sepsis."""
    first, last = block.first, block.first + block.rows - 1
    time = _times(block)
    intime, outtime = time[first], time[last] + HOUR
    hospital_b = block.numbers >= FIRST_OF_HOSPITAL_B
    septic, in_first_row, onset = _sepsis(block, time)
    age, gender = block.column("Age")[first], block.column("Gender")[first]
    medical, surgical = block.column("Unit1")[first] == 1, block.column("Unit2")[first] == 1
    found = {
        "stays of hospital A (Beth Israel Deaconess)": ~hospital_b,
        "stays of hospital B (Emory)": hospital_b,
        "stays with sepsis": septic,
        "stays whose label of sepsis is there from the first hour: their onset is not known": in_first_row,
        "stays whose record ends at the onset of sepsis or before it": onset >= outtime,
        "stays whose record begins hours after the admission": block.column("ICULOS")[first] > 1,
        "stays in an ICU of unknown type": ~(medical | surgical),
        "patients younger than 18 years": age < 18,
        "patients of unknown age": np.isnan(age),
    }
    for words, stays in found.items():
        counts[words] += int(stays.sum())
    return pa.Table.from_arrays(
        [
            _identifiers(block),
            pa.repeat("stay", len(first)),
            _identifiers(block),
            pa.array(intime),
            pa.array(outtime),
            pa.array(age, from_pandas=True),
            _labels(gender == 0, "female", gender == 1, "male"),
            _labels(medical, "MICU", surgical, "SICU"),
            _labels(~hospital_b, "A", hospital_b, "B"),
            pa.nulls(len(first), pa.bool_()),
            pa.array(septic),
            pa.array(onset),
        ],
        schema=STAYS_SCHEMA,
    )


def _sepsis(block: Block, time: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each record whether it has sepsis, whether from its first row on, and the onset, NaT where unknown.

    The onset is six hours after the first row with label 1. Of a record that begins with label 1 only a bound is known.
    """
    labelled = np.flatnonzero(block.column("SepsisLabel") == 1)
    record = np.searchsorted(block.first, labelled, side="right") - 1
    septic_records, index = np.unique(record, return_index=True)
    begins = labelled[index]
    septic = np.zeros(len(block.first), dtype=bool)
    septic[septic_records] = True
    in_first_row = np.zeros_like(septic)
    in_first_row[septic_records] = begins == block.first[septic_records]
    onset = np.full(len(septic), np.datetime64("NaT", "us"))
    onset[septic_records] = time[begins] + LABEL_LEADS_HOURS * HOUR
    onset[in_first_row] = np.datetime64("NaT", "us")
    return septic, in_first_row, onset


def _labels(first: np.ndarray, name: str, second: np.ndarray, other: str) -> pa.Array:
    """Text of each record: one of two names, or null."""
    return pa.array(np.select([first, second], [name, other], default=""), mask=~(first | second))
