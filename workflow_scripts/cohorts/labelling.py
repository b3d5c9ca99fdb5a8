"""Labels every ICU stay of a data set: which definition it meets, whether it is studied, and if not, why."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.cohorts.definitions import read_definition
from workflow_scripts.cohorts.events import open_events
from workflow_scripts.cohorts.parameters import CohortParameters, Sepsis3Parameters
from workflow_scripts.cohorts.queries import create_definition
from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# MIMIC-III moves the birth of patients older than 89 years to 300 years before their first admission, and
# documents 91.4 years as their median age; no real age is between.
SHIFTED_AGE_YEARS = 150
AGE_OF_SHIFTED_PATIENTS_YEARS = 91.4
DAYS_PER_YEAR = 365.2425


@dataclass(frozen=True)
class AttritionRow:
    """What is left of the data set after one inclusion step.

    deaths: of the stays, those whose hospital admission ended in death. admissions, deaths: None where the data do not
    tell them.
    """

    step: str
    stays: int
    admissions: int | None
    patients: int
    deaths: int | None


def label_cohort(
    events_folder: Path,
    definition: str,
    parameters: CohortParameters,
    vitals: list[str],
    threads: int = 1,
    *,
    sepsis3: Sepsis3Parameters | None = None,
    own: Path | None = None,
) -> tuple["pa.Table", list[AttritionRow]]:
    """Return the cohort table and its attrition.

    sepsis3: choices of the Sepsis-3 concepts (default: the preset `clinical`). own: the SQL file of a cohort
    that is not of the definitions folder.

    The cohort table has one row per ICU stay, in the order of icustay_id, with the columns subject_id,
    hadm_id, icustay_id (int64), intime, outtime, onset (timestamp[us]), age_years (double; 91.4 for patients
    older than 89, as MIMIC-III documents), sex (female, male or null), icu_type (the stay's first care unit, or
    null), died_in_hospital, meets_definition, included (bool) and excluded_at (name of the first failed step, or
    null). The steps, in order: `share_of_patients` (only where not all are asked for), `adult`, `first_stay` (only
    where asked for), `stay_length`, `definition`, `charted_values` (every name in `vitals` has enough values from
    intime, inclusive, to outtime, exclusive). The attrition starts with `all_stays`.

    Raises UserError for an unknown definition, a missing or ill-typed events table, a definition whose result
    breaks its contract, and a cohort without any stay.
    """
    query = read_definition(definition, own)
    with open_events(events_folder, threads, clinical=bool(query.needs)) as connection:
        _create_stays(connection, events_folder)
        create_definition(connection, query, (sepsis3 or Sepsis3Parameters()).choices())
        return label_stays(connection, definition, parameters, vitals)


def label_stays(
    connection: "duckdb.DuckDBPyConnection",
    cohort: str,
    parameters: CohortParameters,
    vitals: list[str],
    *,
    ages_known: bool = True,
) -> tuple["pa.Table", list[AttritionRow]]:
    """Return the cohort table and its attrition, as label_cohort, from tables of a connection.

    These are `stays` (as _create_stays makes it), `defined` (icustay_id, onset) and the view `vitals`.
    ages_known: whether the data tell ages; where they do not, there is no step `adult`.
    Raises UserError for a cohort without any stay.
    """
    _create_charted(connection, parameters, vitals)
    steps = [step for step in _inclusion_steps(parameters) if ages_known or step[0] != "adult"]
    _create_labels(connection, steps)
    attrition = _count_attrition(connection, [name for name, _ in steps])
    _refuse_empty(f"cohort '{cohort}'", attrition)
    return connection.sql("SELECT * FROM labels ORDER BY icustay_id").to_arrow_table(), attrition


def _inclusion_steps(parameters: CohortParameters) -> list[tuple[str, str]]:
    """Return the steps after all_stays in order, each with the condition that a stay must meet."""
    steps = []
    if parameters.share_of_patients < 1:
        # The first 32 bits of a SHA-256 are as good as a random number, and the same on every machine.
        number = "('0x' || substr(sha256('share:' || subject_id::VARCHAR), 1, 8))::UBIGINT / 4294967296"
        steps.append(("share_of_patients", f"{number} < {parameters.share_of_patients!r}"))
    steps.append(("adult", f"age_years >= {parameters.minimum_age_years!r}"))
    if parameters.first_stay_only:
        steps.append(("first_stay", "is_first_stay"))
    steps += [
        ("stay_length", f"stay_hours >= {parameters.minimum_stay_hours!r}"),
        ("definition", "meets_definition"),
        ("charted_values", "is_charted"),
    ]
    return steps


def _create_stays(connection: "duckdb.DuckDBPyConnection", events_folder: Path) -> None:
    """Create `stays`: one row per ICU stay with what the inclusion steps need."""
    connection.execute(f"""
        CREATE TEMP TABLE stays AS
        WITH aged AS (
            SELECT
                icustays.subject_id, icustays.hadm_id, icustays.icustay_id, icustays.intime, icustays.outtime,
                (epoch_us(intime) - epoch_us(dob)) / (86400e6 * {DAYS_PER_YEAR}) AS recorded_age,
                CASE patients.gender WHEN 'F' THEN 'female' WHEN 'M' THEN 'male' END::VARCHAR AS sex,
                icustays.first_careunit::VARCHAR AS icu_type,
                coalesce(hospital_expire_flag = 1, false) AS died_in_hospital,
                (epoch_us(outtime) - epoch_us(intime)) / 3600e6 AS stay_hours,
                row_number() OVER (
                    PARTITION BY icustays.subject_id ORDER BY intime, icustay_id
                ) = 1 AS is_first_stay
            FROM icustays
            LEFT JOIN patients ON patients.subject_id = icustays.subject_id
            LEFT JOIN admissions ON admissions.hadm_id = icustays.hadm_id
        )
        SELECT
            * EXCLUDE (recorded_age),
            CASE WHEN recorded_age > {SHIFTED_AGE_YEARS} THEN {AGE_OF_SHIFTED_PATIENTS_YEARS}
                ELSE recorded_age END::DOUBLE AS age_years
        FROM aged
    """)
    repeated = _count(connection, "SELECT count(*) - count(DISTINCT icustay_id) FROM stays")
    if repeated:
        raise UserError(
            str(events_folder),
            f"{repeated} rows too many when ICU stays are joined with patients and admissions",
            "every patient, admission and ICU stay once in its table",
            "extract the events again from an unmodified data set",
        )


def _create_charted(
    connection: "duckdb.DuckDBPyConnection", parameters: CohortParameters, vitals: list[str]
) -> None:
    """Create `charted`: the stays in which every vital sign of `vitals` has enough values."""
    names = sorted(set(vitals))
    if parameters.minimum_charted_values == 0 or not names:
        connection.execute("CREATE TEMP TABLE charted AS SELECT icustay_id FROM stays")
        return
    connection.execute(
        """
        CREATE TEMP TABLE charted AS
        WITH enough AS (
            SELECT icustay_id, vital
            FROM vitals JOIN stays USING (icustay_id)
            WHERE list_contains($names, vital) AND isfinite(value)
                AND charttime >= stays.intime AND charttime < stays.outtime
            GROUP BY icustay_id, vital
            HAVING count(*) >= $minimum
        )
        SELECT icustay_id FROM enough GROUP BY icustay_id HAVING count(*) = len($names)
        """,
        {"names": names, "minimum": parameters.minimum_charted_values},
    )


def _create_labels(connection: "duckdb.DuckDBPyConnection", steps: list[tuple[str, str]]) -> None:
    """Create `labels`, the cohort table."""
    cases = " ".join(f"WHEN NOT coalesce({condition}, false) THEN '{name}'" for name, condition in steps)
    connection.execute(f"""
        CREATE TEMP TABLE labels AS
        WITH joined AS (
            SELECT
                stays.*, defined.onset,
                defined.icustay_id IS NOT NULL AS meets_definition,
                charted.icustay_id IS NOT NULL AS is_charted
            FROM stays
            LEFT JOIN defined ON defined.icustay_id = stays.icustay_id
            LEFT JOIN charted ON charted.icustay_id = stays.icustay_id
        ), judged AS (
            SELECT *, CASE {cases} END::VARCHAR AS excluded_at FROM joined
        )
        SELECT
            subject_id, hadm_id, icustay_id, intime::TIMESTAMP AS intime, outtime::TIMESTAMP AS outtime,
            age_years, sex, icu_type, died_in_hospital, meets_definition, excluded_at IS NULL AS included,
            excluded_at,
            onset::TIMESTAMP AS onset
        FROM judged
    """)


def _count_attrition(connection: "duckdb.DuckDBPyConnection", steps: list[str]) -> list[AttritionRow]:
    rows = []
    for number, name in enumerate(["all_stays", *steps]):
        # Left after a step is who was not excluded at it or before it.
        stays, admissions, patients, deaths, outcomes = connection.execute(
            """
            SELECT count(*), count(DISTINCT hadm_id), count(DISTINCT subject_id),
                count_if(died_in_hospital), count(died_in_hospital)
            FROM labels WHERE excluded_at IS NULL OR NOT list_contains($gone, excluded_at)
            """,
            {"gone": steps[:number]},
        ).fetchall()[0]
        known = admissions if admissions or not stays else None
        rows.append(AttritionRow(name, stays, known, patients, deaths if outcomes or not stays else None))
    return rows


def _refuse_empty(where: str, attrition: list[AttritionRow]) -> None:
    if attrition[-1].stays:
        return
    lost = next(row.step for row in attrition if row.stays == 0)
    left = ", ".join(f"{row.step} {row.stays}" for row in attrition)
    raise UserError(
        where,
        f"no stay is left after the step {lost} (stays left after each step: {left})",
        "at least one ICU stay that passes every step",
        "shorten windows.context or windows.interval_minutes, which minimum_stay_hours follows unless it is set"
        if lost == "stay_length"
        else "relax that step in the cohort settings, choose another definition, or use more data",
    )


def _count(connection: "duckdb.DuckDBPyConnection", query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])
