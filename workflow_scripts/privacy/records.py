"""A data set's own identifiers and times, and how to find them in a text.

MIMIC-III's identifiers are ordinary numbers: half of all five-digit ones are a patient's. So a number counts as a
finding only where it is named as an identifier, where it is near another identifier or a time of the same
patient, or where a file holds more of them than chance explains. How many chance explains is reported.
Identifiers that are no integers (`P-0012`, `00071`) are looked for as words.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.cohorts.table_one import SMALLEST_GROUP
from workflow_scripts.runtime.identifiers import encode_identifiers
from workflow_scripts.runtime.tables import refuse_damage

IDENTIFIERS = ("subject_id", "hadm_id", "icustay_id")
TIMES = ("intime", "outtime", "onset", "start")

NAMED = "identifier of {}, named as one"
WRITTEN = "identifier of {}, which is no number"
LINKED = "identifiers or times of one patient of {} side by side"
MANY = "more identifiers of {} than chance explains"
TIME = "time of a record of {}"

_SHORTEST = 5
"""Digits; shorter numbers are everywhere, and count only where they are named."""
_NAME = r"(?<![a-z])(?:subject|hadm|admission|icu_?stay|stay|patient)[ _]?ids?[\"']?[\s:=,(\[\"']{0,4}"
_NAMED = re.compile(rf"{_NAME}(\d+)(?![\d.])", re.IGNORECASE)
_INTEGER = re.compile(r"[1-9]\d{0,17}|0", re.ASCII)
_WORD = r"[^\s,;:=|\"'()\[\]{}<>]+"
_NAMED_WORD, _WORDS = re.compile(rf"{_NAME}({_WORD})", re.IGNORECASE), re.compile(_WORD)
_NUMBER = re.compile(rf"(?<![0-9A-Za-z])(?<!\d\.)(\d{{{_SHORTEST},19}})(?:\.0+)?(?![0-9A-Za-z])(?!\.\d)")
_TIME = re.compile(r"(?<!\d)(\d{4})-(\d\d)-(\d\d)[T _](\d\d):(\d\d)(?::(\d\d))?(?!\d)")
_NEAR = 200
"""Characters between two marks that are taken to speak of one patient."""
_NEIGHBOURS = 4
_SURE, _LIKELY = 1e-6, 1e-2
_Mark = tuple[int, int | str, set[int]]
"""Where an identifier or time was found, what it is, and the patients that have it."""


@dataclass(frozen=True)
class Pairs:
    """Integers with the number of the patient that each belongs to, both int64, in the order of the integers."""

    value: np.ndarray
    patient: np.ndarray

    @classmethod
    def of(cls, pairs: list[np.ndarray]) -> "Pairs":
        """From arrays [n, 2] of value and patient."""
        table = np.unique(np.concatenate([np.empty((0, 2), np.int64), *pairs]), axis=0)
        return cls(table[:, 0], table[:, 1])

    def of_few(self) -> "Pairs":
        """Those whose value fewer than 11 patients have: what more of them share points at nobody."""
        _, place, patients = np.unique(self.value, return_inverse=True, return_counts=True)
        few = patients[place] < SMALLEST_GROUP
        return Pairs(self.value[few], self.patient[few])

    def owners(self, value: int) -> set[int]:
        """The patients that have a value."""
        first, last = np.searchsorted(self.value, (value, value + 1))
        return set(self.patient[first:last].tolist())

    def density(self) -> float:
        """The share of the numbers between the smallest and the largest value that are values."""
        if not len(self.value):
            return 0.0
        return len(np.unique(self.value)) / int(self.value[-1] - self.value[0] + 1)

    def spans(self, value: int) -> bool:
        """Whether a number lies between the smallest and the largest value."""
        return len(self.value) > 0 and bool(self.value[0] <= value <= self.value[-1])


@dataclass
class Tally:
    """What a text holds: findings by kind, and the numbers that chance may explain."""

    findings: Counter[str] = field(default_factory=Counter)
    equal: int = 0
    by_chance: float = 0.0


@dataclass(frozen=True)
class Records:
    """Identifiers of a data set by their kind, its times in seconds since 1970, and identifiers that are no integers.

    words: such an identifier -> the numbers of its patients.
    """

    dataset: str
    identifiers: dict[str, Pairs]
    times: Pairs
    words: dict[str, set[int]] = field(default_factory=dict)

    def find(self, text: str) -> Tally:
        """Find this data set's records in a text."""
        tally = Tally()
        named = [int(number) for number in _NAMED.findall(text)]
        self._add(tally, NAMED, sum(bool(self._owners(number)) for number in named))
        numbers = [(found.start(), int(found[1])) for found in _NUMBER.finditer(text)]
        self._judge_numbers(tally, {number for _, number in numbers})
        times = list(_read_times(text))
        self._judge_times(tally, {seconds for _, seconds in times})
        marks: list[_Mark] = [(place, number, self._owners(number)) for place, number in numbers]
        marks += [(place, number, self.times.owners(number)) for place, number in times]
        marks += self._find_words(tally, text) if self.words else []
        self._add(tally, LINKED, _count_links([mark for mark in marks if mark[2]]))
        return tally

    def _find_words(self, tally: Tally, text: str) -> list[_Mark]:
        """Find identifiers that are no integers; short ones, and those without a digit, count where they are named."""
        self._add(tally, NAMED, sum(word in self.words for word in _NAMED_WORD.findall(text)))
        found = [(match.start(), match[0]) for match in _WORDS.finditer(text) if match[0] in self.words]
        rare = [mark for mark in found if len(mark[1]) >= _SHORTEST and any(map(str.isdigit, mark[1]))]
        self._add(tally, WRITTEN, len(rare))
        return [(place, word, self.words[word]) for place, word in rare]

    def _owners(self, number: int) -> set[int]:
        return set().union(*(pairs.owners(number) for pairs in self.identifiers.values()))

    def _judge_numbers(self, tally: Tally, numbers: set[int]) -> None:
        """Hold the different numbers of a text against what chance gives, kind by kind."""
        for pairs in self.identifiers.values():
            tried = [number for number in numbers if pairs.spans(number)]
            equal = sum(bool(pairs.owners(number)) for number in tried)
            tally.equal += equal
            tally.by_chance += len(tried) * pairs.density()
            self._add(tally, MANY, equal * (_tail(equal, len(tried), pairs.density()) < _SURE))
        epochs = sum(bool(self.times.owners(number // unit)) for number in numbers
                     for unit in (1, 10**3, 10**6, 10**9) if number >= 10**9 * unit and number % unit == 0)  # fmt: skip
        self._add(tally, TIME, epochs)

    def _judge_times(self, tally: Tally, times: set[int]) -> None:
        tried = [seconds for seconds in times if self.times.spans(seconds)]
        equal = sum(bool(self.times.owners(seconds)) for seconds in tried)
        self._add(tally, TIME, equal * (_tail(equal, len(tried), self.times.density()) < _LIKELY))

    def _add(self, tally: Tally, kind: str, count: int) -> None:
        if count:
            tally.findings[kind.format(self.dataset)] += count


def read_records(dataset: str, root: Path) -> Records:
    """Read identifiers and times from a data set's cohort tables and windows; empty where nothing is present.

    Raises UserError for a table that is damaged.
    """
    files = [
        *(root / "data" / dataset / "cohorts").glob("*.parquet"),
        *(root / "data/raw" / dataset / "cohorts").glob("*.parquet"),
        *(root / "data" / dataset / "windows").glob("*/*.parquet"),
    ]
    patients: dict[str, int] = {}
    identifiers: dict[str, list[np.ndarray]] = {name: [] for name in IDENTIFIERS}
    times: list[np.ndarray] = []
    words: dict[str, set[int]] = {}
    for path in files:
        with refuse_damage(path, {"subject_id": "text or integer"}, "write it again, or delete it"):
            names = pq.read_schema(path).names
            if "subject_id" not in names:
                continue
            table = pq.read_table(path, columns=[name for name in (*IDENTIFIERS, *TIMES) if name in names])
        patient = _patient_numbers(table["subject_id"], patients)
        for name in table.column_names:
            if name in TIMES:
                moments = table[name].to_numpy().astype("datetime64[s]")
                known = ~np.isnat(moments) & (patient >= 0)
                times.append(np.column_stack([moments[known].astype(np.int64), patient[known]]))
            else:
                identifiers[name].append(_split_pairs(table[name], patient, words))
    pairs = {name: Pairs.of(found) for name, found in identifiers.items()}
    # Where the data have no calendar, all stays begin at one time.
    return Records(dataset, pairs, Pairs.of(times).of_few(), words)


def _as_identifiers(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """The identifiers as text; whole numbers with gaps, which pandas writes as fractions, as what they were."""
    return encode_identifiers(column.cast(pa.int64()) if pa.types.is_floating(column.type) else column)


def _patient_numbers(column: pa.ChunkedArray, patients: dict[str, int]) -> np.ndarray:
    """The number of each row's patient, int64 [N], -1 where there is none; new ones are added to `patients`."""
    encoded = _as_identifiers(column)
    numbers = [patients.setdefault(name, len(patients)) for name in encoded.dictionary.to_pylist()]
    return np.array([*numbers, -1], dtype=np.int64)[encoded.indices.fill_null(-1).to_numpy()]


def _split_pairs(column: pa.ChunkedArray, patient: np.ndarray, words: dict[str, set[int]]) -> np.ndarray:
    """The integers among identifiers with their patients, int64 [n, 2]; the others are added to `words`."""
    encoded = _as_identifiers(column)
    names = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(-1).to_numpy()
    known = (codes >= 0) & (patient >= 0)
    pairs = np.unique(np.column_stack([codes[known], patient[known]]), axis=0)
    integers = []
    for code, owner in pairs.tolist():
        if _INTEGER.fullmatch(names[code]):
            integers.append((int(names[code]), owner))
        else:
            words.setdefault(names[code], set()).add(owner)
    return np.array(integers, dtype=np.int64).reshape(-1, 2)


def _read_times(text: str) -> Iterator[tuple[int, int]]:
    """Place and seconds since 1970 of every date with a time."""
    for found in _TIME.finditer(text):
        try:
            moment = datetime(*(int(part or 0) for part in found.groups()), tzinfo=UTC)  # type: ignore[arg-type, misc]
        except ValueError:
            continue
        yield found.start(), int(moment.timestamp())


def _count_links(marks: list[_Mark]) -> int:
    """Neighbouring marks of different value that share a patient."""
    marks = sorted(marks, key=lambda mark: mark[0])
    return sum(
        other[0] - mark[0] <= _NEAR and mark[1] != other[1] and bool(mark[2] & other[2])
        for place, mark in enumerate(marks)
        for other in marks[place + 1 : place + 1 + _NEIGHBOURS]
    )


def _tail(hits: int, tries: int, share: float) -> float:
    """Probability of at least that many hits by chance (binomial)."""
    if not hits:
        return 1.0
    from scipy.stats import binom

    return float(binom.sf(hits - 1, tries, min(share, 1.0)))
