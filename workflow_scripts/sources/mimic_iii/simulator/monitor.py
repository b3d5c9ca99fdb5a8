"""A bedside monitor's export of the simulated patients: five-minute vital signs, in the windows' own contract.

Not a MIMIC-III folder: it is what another hospital, eICU or MIMIC-IV could hand over (docs/own-data.md). The
hidden hourly course is that of the simulated MIMIC-III folder with the same seed; between the hours it runs
straight, with a faster noise of its own (correlation 0.9 from one value to the next), and now and then the
monitor is off for a while.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.signal import lfilter

from workflow_scripts.sources.mimic_iii.parameters import SimulatorParameters
from workflow_scripts.sources.mimic_iii.simulator.patients import (
    CHUNK,
    HOUR,
    People,
    Stays,
    draw_admissions,
    draw_people,
    draw_stays,
)
from workflow_scripts.sources.mimic_iii.simulator.physiology import Course, draw_course

MONITOR_COHORTS = ("all", "septic")
"""The cohort tables: every stay, and the stays with a septic episode, with its onset."""

MINUTES = 5
_STEPS = 60 // MINUTES
_MEMORY = 0.9
# Vital sign -> (name in the course, spread of the fast noise in its unit).
_SIGNS = {
    "heart_rate": ("heart_rate", 2.0),
    "mean_blood_pressure": ("mean", 2.5),
    "respiratory_rate": ("respiratory_rate", 1.2),
    "spo2": ("spo2", 0.4),
}
_OFF_STARTS, _OFF_STEPS = 0.004, 6
_VALUES = pa.schema(
    [
        ("icustay_id", pa.int64()),
        ("charttime", pa.timestamp("us")),
        ("vital", pa.string()),
        ("value", pa.float32()),
    ]
)


def simulate_monitor(parameters: SimulatorParameters, folder: Path) -> dict[str, int]:
    """Write vitals.parquet and cohorts/<cohort>.parquet into an existing folder; return their row counts.

    Patients are drawn and written in chunks; the same settings give the same values.
    """
    (folder / "cohorts").mkdir()
    tables: list[pa.Table] = []
    rows = 0
    with pq.ParquetWriter(folder / "vitals.parquet", _VALUES, compression="zstd") as writer:
        for chunk in range(-(-parameters.patients // CHUNK)):
            rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([parameters.seed, chunk])))
            people = draw_people(rng, chunk, parameters.septic_fraction)
            _, stays = draw_stays(rng, people, draw_admissions(rng, people))
            course = draw_course(rng, people, stays)
            wanted = people.number[stays.patient] < parameters.patients
            values = _values(rng, stays, course, wanted)
            writer.write_table(values)
            rows += len(values)
            tables.append(_stays(people, stays).filter(pa.array(wanted)))
    cohort = pa.concat_tables(tables)
    for name in MONITOR_COHORTS:
        included = cohort["septic"] if name == "septic" else pa.array(np.ones(len(cohort), dtype=bool))
        table = cohort.drop_columns("septic").append_column("included", included)
        pq.write_table(table, folder / "cohorts" / f"{name}.parquet")
    return {"vitals": rows, **{name: len(cohort) for name in MONITOR_COHORTS}}


def _values(rng: np.random.Generator, stays: Stays, course: Course, wanted: np.ndarray) -> pa.Table:
    """Every five minutes of every wanted stay one value of each vital sign, but for the monitor's gaps."""
    size, hours = course.inside.shape
    start = stays.intime // HOUR * HOUR
    time = start[:, None] + np.arange((hours - 1) * _STEPS) * MINUTES * 60 + rng.integers(0, 60, (size, 1))
    inside = (time >= stays.intime[:, None]) & (time < stays.outtime[:, None]) & wanted[:, None]
    off = lfilter(np.ones(_OFF_STEPS), [1.0], rng.random(inside.shape) < _OFF_STARTS, axis=1) > 0
    stay, step = np.nonzero(inside & ~off)
    charted = (time[stay, step] * 1_000_000).astype("datetime64[us]")
    parts = [
        pa.table(
            {
                "icustay_id": stays.icustay_id[stay],
                "charttime": charted,
                "vital": np.full(len(stay), sign),
                "value": _five_minutes(rng, getattr(course, name), spread)[stay, step].round(),
            },
            schema=_VALUES,
        )
        for sign, (name, spread) in _SIGNS.items()
    ]
    return pa.concat_tables(parts)


def _five_minutes(rng: np.random.Generator, hourly: np.ndarray, spread: float) -> np.ndarray:
    """[stays, hours] to [stays, (hours - 1) * steps]: straight between the hours, plus correlated noise."""
    share = np.arange(_STEPS) / _STEPS
    straight = hourly[:, :-1, None] * (1 - share) + hourly[:, 1:, None] * share
    flat = straight.reshape(len(hourly), -1)
    white = rng.standard_normal(flat.shape)
    return flat + spread * lfilter([np.sqrt(1 - _MEMORY**2)], [1, -_MEMORY], white, axis=1)


def _stays(people: People, stays: Stays) -> pa.Table:
    onset = np.where(np.isfinite(stays.onset_hour), stays.onset_hour, 0) * HOUR
    times = (stays.intime // HOUR * HOUR + onset.astype(np.int64)).astype("datetime64[s]")
    return pa.table(
        {
            "subject_id": people.subject_id[stays.patient],
            "icustay_id": stays.icustay_id,
            "intime": stays.intime.astype("datetime64[s]").astype("datetime64[us]"),
            "outtime": stays.outtime.astype("datetime64[s]").astype("datetime64[us]"),
            "died_in_hospital": stays.dies,
            "onset": np.where(stays.septic, times, np.datetime64("NaT")).astype("datetime64[us]"),
            "septic": stays.septic,
        }
    )
