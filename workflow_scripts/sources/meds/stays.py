"""ICU stays of a MEDS data set: from codes that begin and end them, with age, sex, death and sepsis by codes."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.meds.diagnoses import SepsisCode
from workflow_scripts.sources.meds.mapping import Mapping, Span

if TYPE_CHECKING:
    import duckdb


def create_table(
    connection: "duckdb.DuckDBPyConnection", name: str, columns: dict[str, str], rows: Iterable[Sequence[Any]]
) -> None:
    """Create a temporary table of these columns, name -> type, and fill it. For tables of codes, which are small."""
    import pyarrow as pa

    filled = list(zip(*rows, strict=True)) or [()] * len(columns)
    read = pa.table({column: pa.array(list(values)) for column, values in zip(columns, filled, strict=True)})
    connection.register("given", read)
    casts = ", ".join(f"{column}::{kind} AS {column}" for column, kind in columns.items())
    connection.execute(f"CREATE TEMP TABLE {name} AS SELECT {casts} FROM given")
    connection.unregister("given")


def create_stays(
    connection: "duckdb.DuckDBPyConnection",
    mapping: Mapping,
    codes: Sequence[str],
    sepsis: Sequence[SepsisCode],
    raw: Path,
) -> dict[str, int]:
    """Create the table `stays` from the view `events`, and return counts.

    Columns: those of contract.STAY_COLUMNS (onset NULL: billing codes have no time), hadm_id, age_years (year of
    admission less year of birth, MIMIC-IV's own rule), sex, icu_type, subject_kind, explicit and angus (bool), and
    subject (as in events). codes: all codes of the data.
    A stay belongs to the hospital admission with the largest overlap; without one, its death and sepsis are not known.
    Raises UserError for stays that cannot be told apart, and where no stay has both its ends.
    """
    _create_span(connection, "icu", mapping.stays, codes)
    _refuse_unclear_stays(connection, raw)
    _create_pairs(connection, "icu", "icustay_id")
    _create_span(connection, "hospital", mapping.admissions, codes)
    _create_pairs(connection, "hospital", "hadm_id")
    _create_persons(connection, mapping, codes)
    _create_sepsis(connection, sepsis)
    connection.execute(_STAYS, {"subject_kind": mapping.subject})
    begun, ended, without_admission, stays = connection.sql(_COUNTS).fetchall()[0]
    if not stays:
        raise UserError(
            str(raw / "data"),
            f"{begun} beginnings of ICU stays, {ended} with an end",
            "codes that begin and end ICU stays, as the mapping's `stays` says",
            "correct `stays` of the mapping, or convert the data again",
        )
    return {
        "stays": stays,
        "stays without an end, left out": begun - ended,
        "stays outside every hospital admission": without_admission,
    }


def _create_span(
    connection: "duckdb.DuckDBPyConnection", name: str, span: Span | None, codes: Sequence[str]
) -> None:
    """Create the table <name>_events: subject_id, time, is_begin, icu_type, died, and both identifiers."""
    rows = []
    for code in codes:
        if span is None:
            break
        begin, end = re.fullmatch(span.begin, code), re.fullmatch(span.end, code)
        died = bool(span.died and re.fullmatch(span.died, code))
        if begin or end:
            rows.append((code, bool(begin), begin.groupdict().get("icu_type") if begin else None, died))
    columns = {"code": "VARCHAR", "is_begin": "BOOLEAN", "icu_type": "VARCHAR", "died": "BOOLEAN"}
    create_table(connection, f"{name}_codes", columns, rows)
    connection.execute(f"""
        CREATE TEMP TABLE {name}_events AS
        SELECT subject_id, time, is_begin, icu_type, died, hadm_id, icustay_id
        FROM events JOIN {name}_codes USING (code)
        WHERE time IS NOT NULL
    """)


def _refuse_unclear_stays(connection: "duckdb.DuckDBPyConnection", raw: Path) -> None:
    repeated = connection.sql("""
        SELECT count(*) FROM (
            SELECT 1 FROM icu_events WHERE is_begin
            GROUP BY subject_id, coalesce(icustay_id, time::VARCHAR) HAVING count(*) > 1
        )
    """).fetchall()[0][0]
    if repeated:
        raise UserError(
            str(raw / "data"),
            f"{repeated} ICU stays that begin more than once",
            "one beginning for each stay",
            "remove repeated events, or convert the data again",
        )


def _create_pairs(connection: "duckdb.DuckDBPyConnection", name: str, key: str) -> None:
    """Create the table <name>: every beginning with its end, NULL where there is none.

    The end is that of the same identifier where all beginnings have one; else it is the subject's first end after the
    beginning and not after the next beginning.
    """
    keyed = connection.sql(f"SELECT count(*) = count({key}) FROM {name}_events WHERE is_begin").fetchall()[0][
        0
    ]
    same = f"ends.{key} = begins.{key}" if keyed else "(next_begin IS NULL OR ends.time <= next_begin)"
    connection.execute(f"""
        CREATE TEMP TABLE {name} AS
        WITH begins AS (
            SELECT *, lead(time) OVER (PARTITION BY subject_id ORDER BY time) AS next_begin
            FROM {name}_events WHERE is_begin
        ),
        ends AS (FROM {name}_events WHERE NOT is_begin)
        SELECT
            begins.subject_id, begins.hadm_id, begins.icustay_id, any_value(begins.icu_type) AS icu_type,
            begins.time AS begin_time, min(ends.time) AS end_time, arg_min(ends.died, ends.time) AS died,
            row_number() OVER (ORDER BY begins.subject_id, begins.time, begins.icustay_id) AS number,
            row_number() OVER (PARTITION BY begins.subject_id ORDER BY begins.time, begins.icustay_id) AS place
        FROM begins LEFT JOIN ends
            ON ends.subject_id = begins.subject_id AND ends.time > begins.time AND {same}
        GROUP BY begins.subject_id, begins.hadm_id, begins.icustay_id, begins.time
    """)


def _create_persons(connection: "duckdb.DuckDBPyConnection", mapping: Mapping, codes: Sequence[str]) -> None:
    """Create the table `persons`: subject_id, birth, sex (NULL where two are named)."""
    kinds = {"female": mapping.female, "male": mapping.male, "birth": mapping.birth}
    rows = [(code, kind) for code in codes for kind, pattern in kinds.items() if re.fullmatch(pattern, code)]
    create_table(connection, "person_codes", {"code": "VARCHAR", "kind": "VARCHAR"}, rows)
    connection.execute("""
        CREATE TEMP TABLE persons AS
        SELECT
            subject_id,
            min(time) FILTER (kind = 'birth') AS birth,
            CASE WHEN count(DISTINCT kind) FILTER (kind <> 'birth') = 1
                THEN min(kind) FILTER (kind <> 'birth') END AS sex
        FROM events JOIN person_codes USING (code)
        GROUP BY subject_id
    """)


def _create_sepsis(connection: "duckdb.DuckDBPyConnection", sepsis: Sequence[SepsisCode]) -> None:
    """Create the table `sepsis`: number of the hospital admission, explicit and angus.

    A code belongs to the admission of its identifier. Without one, a diagnosis belongs to the admission that ends at
    its time, else to the one around it; a procedure to every admission around its day.
    """
    columns = dict.fromkeys(("explicit", "infection", "organ_dysfunction", "is_procedure"), "BOOLEAN")
    rows = [
        (code.code, code.explicit, code.infection, code.organ_dysfunction, code.is_procedure)
        for code in sepsis
    ]
    create_table(connection, "sepsis_codes", {"code": "VARCHAR"} | columns, rows)
    connection.execute("""
        CREATE TEMP TABLE sepsis AS
        WITH coded AS (
            SELECT subject_id, time, hadm_id, code, explicit, infection, organ_dysfunction, is_procedure
            FROM events JOIN sepsis_codes USING (code)
        ),
        admitted AS (
            SELECT coded.*, hospital.number, hospital.end_time = coded.time AS at_end,
                max(hospital.end_time = coded.time)
                    OVER (PARTITION BY coded.subject_id, coded.time, coded.code) AS some_at_end
            FROM coded JOIN hospital ON hospital.subject_id = coded.subject_id AND CASE
                WHEN coded.hadm_id IS NOT NULL AND hospital.hadm_id IS NOT NULL
                    THEN coded.hadm_id = hospital.hadm_id
                WHEN is_procedure
                    THEN coded.time::DATE BETWEEN hospital.begin_time::DATE AND hospital.end_time::DATE
                ELSE coded.time BETWEEN hospital.begin_time AND hospital.end_time
            END
        )
        SELECT
            number,
            bool_or(explicit) AS explicit,
            bool_or(explicit) OR (bool_or(infection) AND bool_or(organ_dysfunction)) AS angus
        FROM admitted WHERE is_procedure OR at_end OR NOT some_at_end
        GROUP BY number
    """)


_STAYS = """
CREATE TEMP TABLE stays AS
WITH shared AS (
    SELECT icu.number AS stay, hospital.number, hospital.died,
        least(icu.end_time, hospital.end_time) - greatest(icu.begin_time, hospital.begin_time) AS overlap
    FROM icu JOIN hospital ON hospital.subject_id = icu.subject_id
        AND hospital.begin_time < icu.end_time AND hospital.end_time > icu.begin_time
),
admission AS (
    SELECT stay, arg_max(number, overlap) AS hadm_id, arg_max(died, overlap) AS died FROM shared GROUP BY stay
)
SELECT
    icu.subject_id AS subject,
    icu.subject_id::VARCHAR AS subject_id,
    coalesce(icu.icustay_id, icu.subject_id || '-' || icu.place) AS icustay_id,
    icu.begin_time AS intime,
    icu.end_time AS outtime,
    admission.died AS died_in_hospital,
    NULL::TIMESTAMP AS onset,
    admission.hadm_id::BIGINT AS hadm_id,
    (year(icu.begin_time) - year(persons.birth))::DOUBLE AS age_years,
    persons.sex,
    icu.icu_type,
    $subject_kind AS subject_kind,
    CASE WHEN admission.hadm_id IS NOT NULL THEN coalesce(sepsis.explicit, false) END AS explicit,
    CASE WHEN admission.hadm_id IS NOT NULL THEN coalesce(sepsis.angus, false) END AS angus
FROM icu
LEFT JOIN admission ON admission.stay = icu.number
LEFT JOIN persons ON persons.subject_id = icu.subject_id
LEFT JOIN sepsis ON sepsis.number = admission.hadm_id
WHERE icu.end_time IS NOT NULL
"""

_COUNTS = """
SELECT
    (SELECT count(*) FROM icu),
    (SELECT count(end_time) FROM icu),
    count_if(hadm_id IS NULL),
    count(*)
FROM stays
"""
