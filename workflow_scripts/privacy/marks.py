"""By what a patient is recognised in a text: identifiers and dates that nothing else has. Imports nothing heavy.

These marks need no data set. A simulated patient has both (mimic/canaries.py). A patient of MIMIC-III has dates
shifted into the years 2100 to 2299, which no clock of this century shows; the identifiers, of five or six digits,
are judged by the data set's own (records.py).
"""

import re
from collections import Counter

from workflow_scripts.sources.mimic_iii.canaries import FIRST_YEAR, LAST_YEAR, is_simulated_identifier

SIMULATED_IDENTIFIER = "identifier of a simulated patient"
SIMULATED_DATE = "date of a simulated patient"
SHIFTED_DATE = "date in the years to which MIMIC-III shifts"

# A number within a hash, a UUID or a fraction is none.
_NUMBER = re.compile(r"(?:(?<![0-9a-fA-F])|(?<=[iI][dD]))(?<!\d\.)([3-9]\d{10})(?![0-9a-fA-F])")
_GROUPED = re.compile(r"(?<![\d.,])([3-9]\d,\d{3},\d{3},\d{3})(?![\d,])")

_YEAR = r"(2[1-7]\d\d)"
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_NAME = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_DATES = [
    # The years 2100 to 2799.
    re.compile(rf"(?<![0-9A-Za-z.]){_YEAR}([-/]){_MONTH}\2{_DAY}(?!\d)"),
    re.compile(rf"(?<![0-9A-Za-z.]){_YEAR}{_MONTH}{_DAY}T[0-2]\d[0-5]\d"),
    re.compile(rf"(?<!\d)\d{{1,2}}([-/.])\d{{1,2}}\1{_YEAR}(?![0-9a-zA-Z])"),
    re.compile(rf"date(?:time)?(?:64)?\({_YEAR}, ?\d{{1,2}}, ?\d{{1,2}}[,)]"),
    re.compile(rf"{_NAME} +\d{{1,2}}(?:,? +| \d\d:\d\d:\d\d ){_YEAR}(?![0-9a-zA-Z])"),
    re.compile(rf"(?<!\d)\d{{1,2}}[- ]{_NAME}[- ]{_YEAR}(?![0-9a-zA-Z])"),
]


def find_marks(text: str, code: bool = False) -> Counter[str]:
    """Count the marks in a text, by kind.

    code: whether people wrote it. Tests and examples invent dates in MIMIC-III's shifted years, and bounds on a
    1 January.
    """
    numbers = [int(found) for found in _NUMBER.findall(text)]
    numbers += [int(found.replace(",", "")) for found in _GROUPED.findall(text)]
    counts = Counter({SIMULATED_IDENTIFIER: sum(map(is_simulated_identifier, numbers))})
    for pattern in _DATES:
        for found in pattern.finditer(text):
            year = next(int(group) for group in found.groups() if len(group) == 4)
            if code and (year < FIRST_YEAR or found.group().endswith("-01-01")):
                continue
            counts[SIMULATED_DATE if FIRST_YEAR <= year <= LAST_YEAR else SHIFTED_DATE] += 1
    return +counts
