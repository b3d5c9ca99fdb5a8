"""Many psv records as one table: one parse for thousands of files, where one for each would take five times as long."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.challenge_2019.records import Record

VITALS = {
    "HR": "heart_rate",
    "O2Sat": "spo2",
    "Temp": "temperature",
    "SBP": "systolic_blood_pressure",
    "MAP": "mean_blood_pressure",
    "DBP": "diastolic_blood_pressure",
    "Resp": "respiratory_rate",
}
"""Column -> vital sign, in the same unit."""

HEADER = (
    "HR|O2Sat|Temp|SBP|MAP|DBP|Resp|EtCO2|BaseExcess|HCO3|FiO2|pH|PaCO2|SaO2|AST|BUN|Alkalinephos|Calcium|Chloride|"
    "Creatinine|Bilirubin_direct|Glucose|Lactate|Magnesium|Phosphate|Potassium|Bilirubin_total|TroponinI|Hct|Hgb|PTT|WBC|"
    "Fibrinogen|Platelets|Age|Gender|Unit1|Unit2|HospAdmTime|ICULOS|SepsisLabel"
)

_TYPES = {name: pa.float64() for name in (*VITALS, "Age")} | {
    name: pa.int16() for name in ("Gender", "Unit1", "Unit2", "ICULOS", "SepsisLabel")
}
_FILES_AT_ONCE = 4000
_REMEDY = "download the data again (snakemake fetch_challenge_2019)"


@dataclass(frozen=True)
class Block:
    """Some records as one table. numbers, rows: int64, of each record; table: the rows of all, in their order."""

    numbers: np.ndarray
    rows: np.ndarray
    table: pa.Table

    @property
    def first(self) -> np.ndarray:
        """The index of each record's first row."""
        return np.cumsum(self.rows) - self.rows

    def column(self, name: str) -> np.ndarray:
        """One column [rows of all records], float64; NaN where it is missing."""
        return self.table[name].cast(pa.float64()).to_numpy()


def read_blocks(records: Sequence[Record]) -> Iterator[Block]:
    """Give the records as tables of some thousand each.

    Raises UserError for a record with another header, without a row, with a row that cannot be read, or with hours
    that do not ascend.
    """
    for begin in range(0, len(records), _FILES_AT_ONCE):
        some = records[begin : begin + _FILES_AT_ONCE]
        bodies = [_body(record) for record in some]
        block = Block(
            numbers=np.array([record.number for record in some]),
            rows=np.array([body.count(b"\n") for body in bodies]),
            table=_parsed(some, bodies),
        )
        _refuse_wrong_hours(some, block)
        yield block


def _body(record: Record) -> bytes:
    """The rows of a record, each ended by a line feed."""
    header, _, body = record.read().partition(b"\n")
    if header != HEADER.encode():
        found = f"another header ({header.count(b'|') + 1} columns)"
        raise UserError(record.place, found, f"the 41 columns {HEADER}", _REMEDY)
    if not body.strip():
        raise UserError(record.place, "a header and no row", "one row for each hour", _REMEDY)
    return body if body.endswith(b"\n") else body + b"\n"


def _parsed(records: Sequence[Record], bodies: Sequence[bytes]) -> pa.Table:
    try:
        table = _parse(b"".join(bodies))
        if len(table) == sum(body.count(b"\n") for body in bodies):
            return table
    except pa.ArrowInvalid:
        pass
    for record, body in zip(records, bodies, strict=True):
        _refuse_unreadable(record, body)
    raise AssertionError("records that can be read one by one and not together")


def _refuse_unreadable(record: Record, body: bytes) -> None:
    try:
        rows = len(_parse(body))
    except pa.ArrowInvalid:
        rows = -1
    if rows != body.count(b"\n"):
        # What Arrow says of it quotes the row.
        found, expected = "rows that cannot be read", "41 numbers or NaN in each row, separated by |"
        raise UserError(record.place, found, expected, _REMEDY) from None


def _parse(body: bytes) -> pa.Table:
    return pyarrow.csv.read_csv(
        pa.py_buffer(body),
        read_options=pyarrow.csv.ReadOptions(column_names=HEADER.split("|"), use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter="|", quote_char=False),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(_TYPES), column_types=_TYPES, null_values=["NaN"]
        ),
    )


def _refuse_wrong_hours(records: Sequence[Record], block: Block) -> None:
    hours = block.column("ICULOS")
    wrong = np.diff(hours, prepend=0) <= 0
    wrong[block.first] = hours[block.first] < 1
    wrong |= np.isnan(hours)
    if wrong.any():
        record = records[int(np.searchsorted(block.first, wrong.argmax(), side="right")) - 1]
        found = "hours since ICU admission (ICULOS) that are missing, repeated or descend"
        raise UserError(record.place, found, "1 or more in the first row, and more in each next one", _REMEDY)
