"""Codes that look like vital signs and are not mapped: by their words, or by their values."""

import re
from dataclasses import asdict, dataclass

from workflow_scripts.sources.meds.reading import Reading
from workflow_scripts.sources.meds.stays import create_table

FEWEST = 11
"""Fewer patients or values are not reported: the usual rule for tables of health data (CMS cell size policy)."""

WORDS = {
    "heart rate": r"heart ?rate|\bpulse\b(?! ?ox)|\bhr\b|\bbpm\b",
    "blood pressure": r"blood ?pressure|\b[an]?i?bp\b|systolic|diastolic|\bmap\b|mean arterial|\bmm ?hg\b",
    "respiratory rate": r"resp\w* ?rate|\brr\b|insp/min|breaths",
    "oxygen saturation": r"\bsp ?o2\b|\bsa ?o2\b|o2 ?sat\w*|oxygen saturation|pulse ?ox",
    "temperature": r"temperature|\btemp\b|°[cf]|\bdeg ?[cf]\b",
}
"""Kind of vital sign -> what codes and descriptions of it say, in lower case."""

RANGES = {
    "heart rate": (40, 60, 110, 160),
    "systolic pressure": (70, 95, 150, 210),
    "mean pressure": (45, 60, 100, 130),
    "respiratory rate": (6, 12, 26, 45),
    "oxygen saturation": (80, 93, 100, 100),
    "temperature, °C": (34, 36, 38, 40.5),
    "temperature, °F": (93, 96.8, 100.4, 105),
}
"""Kind -> bounds of the 5 %, 50 % (two) and 95 % quantiles of its values in adult ICUs; wide, and our own."""

MOST_HOURS_BETWEEN = 4.5
"""Vital signs are charted at least that often in the stays that have them; laboratory values are not."""


@dataclass(frozen=True)
class Unmapped:
    """A code that looks like a vital sign.

    by: words or values. median, and hours_between values within a stay: only of those by values.
    """

    code: str
    looks_like: str
    by: str
    values: int
    patients: int
    median: float | None = None
    hours_between: float | None = None

    def as_json(self) -> dict[str, object]:
        """The code as JSON."""
        return asdict(self)


def kind_by_words(code: str, description: str = "") -> str | None:
    """Return the vital sign that a code or its description names."""
    text = re.sub(r"[_|\\-]+|//", " ", f"{code} {description}".lower())
    return next((kind for kind, words in WORDS.items() if re.search(words, text)), None)


def unmapped_by_words(reading: Reading) -> list[Unmapped]:
    """Return unmapped codes with numbers whose words are those of a vital sign, the most frequent first."""
    kinds = {
        code: kind
        for code in reading.unmapped
        if (kind := kind_by_words(code, reading.descriptions.get(code, "")))
    }
    create_table(reading.connection, "worded", {"code": "VARCHAR"}, [(code,) for code in kinds])
    rows = reading.connection.execute(
        """
        SELECT code, count(*) AS found, count(DISTINCT subject_id) AS patients
        FROM events JOIN worded USING (code) WHERE numeric_value IS NOT NULL
        GROUP BY code HAVING found >= $fewest AND patients >= $fewest ORDER BY found DESC, code
        """,
        {"fewest": FEWEST},
    ).fetchall()
    reading.connection.execute("DROP TABLE worded")
    return [Unmapped(code, kinds[code], "words", values, patients) for code, values, patients in rows]


def unmapped_by_values(reading: Reading) -> list[Unmapped]:
    """Return unmapped codes whose values within ICU stays are distributed and charted like a vital sign."""
    create_table(
        reading.connection, "numeric_codes", {"code": "VARCHAR"}, [(code,) for code in reading.unmapped]
    )
    rows = reading.connection.execute(_BY_VALUES, {"fewest": FEWEST, "hours": MOST_HOURS_BETWEEN}).fetchall()
    reading.connection.execute("DROP TABLE numeric_codes")
    return [
        Unmapped(code, kind, "values", values, patients, round(median, 1), round(hours, 1))
        for code, values, patients, low, median, high, hours in rows
        if (kind := _kind_by_values(low, median, high))
    ]


def _kind_by_values(low: float, median: float, high: float) -> str | None:
    for kind, (lowest, least, most, highest) in RANGES.items():
        if low >= lowest and least <= median <= most and high <= highest:
            return kind
    return None


_BY_VALUES = """
WITH charted AS (
    SELECT events.subject_id, events.time, code, numeric_value
    FROM events JOIN numeric_codes USING (code)
    WHERE numeric_value IS NOT NULL AND isfinite(numeric_value) AND time IS NOT NULL
),
of_stay AS (
    SELECT code, stays.subject, stays.icustay_id,
        (epoch_us(stays.outtime) - epoch_us(stays.intime)) / 3600e6 AS stay_hours, numeric_value
    FROM charted ASOF JOIN stays ON charted.subject_id = stays.subject AND charted.time >= stays.intime
    WHERE charted.time < stays.outtime
),
frequency AS (
    SELECT code, sum(stay_hours) / sum(number) AS hours_between
    FROM (SELECT code, icustay_id, any_value(stay_hours) AS stay_hours, count(*) AS number FROM of_stay GROUP BY ALL)
    GROUP BY code
)
SELECT code, count(*) AS found, count(DISTINCT subject) AS patients,
    approx_quantile(numeric_value, 0.05), approx_quantile(numeric_value, 0.5), approx_quantile(numeric_value, 0.95),
    any_value(hours_between)
FROM of_stay JOIN frequency USING (code)
GROUP BY code
HAVING found >= $fewest AND patients >= $fewest AND any_value(hours_between) <= $hours
ORDER BY found DESC, code
"""
