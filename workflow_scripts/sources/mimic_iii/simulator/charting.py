"""CHARTEVENTS: what nurses and monitors wrote down of a course, and how they erred.

A moment is one time at which something was charted for one stay: the full hours, in unrest also the quarters
between them. Each signal is charted at some of the moments.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.sources.mimic_iii.items import load_vital_signs
from workflow_scripts.sources.mimic_iii.simulator.patients import HOUR, Admissions, People, Stays
from workflow_scripts.sources.mimic_iii.simulator.physiology import Course
from workflow_scripts.sources.mimic_iii.simulator.routine import ROUTINE_TEXTS, routine_rows
from workflow_scripts.sources.mimic_iii.simulator.write import Column, choose, times

_TEXTS = [
    "Normal Sinus", "Sinus Tachy", "SR (Sinus Rhythm)", "ST (Sinus Tachycardia) ",
    "Assist Control", "CPAP+PS", "CMV/ASSIST/AutoFlow", "CPAP/PSV", "7200A", "Drager",
    "Arm, Right Lower", "Coccyx", "Hip, Right", "Red; unbroken",
    "1 No Response", "2 To pain", "3 To speech", "4 Spontaneously",
    "None", "To Pain", "To Speech", "Spontaneously",
    "1 No Response", "2 Incomp sounds", "3 Inapprop words", "4 Confused", "5 Oriented", "1.0 ET/Trach",
    "No Response", "Incomprehensible sounds", "Inappropriate Words", "Confused", "Oriented",
    "No Response-ETT",
    "1 No Response", "2 Abnorm extensn", "3 Abnorm flexion", "4 Flex-withdraws", "5 Localizes Pain",
    "6 Obeys Commands",
    "No response", "Abnormal extension", "Abnormal Flexion", "Flex-withdraws", "Localizes Pain",
    "Obeys Commands",
    *ROUTINE_TEXTS,
]  # fmt: skip
_EYE, _VERBAL, _MOTOR = (14, 18), (22, 28), (34, 40)
"""Where CareVue's and MetaVision's words for 1 point begin in the list above."""

_UNITS = {
    211: "BPM", 220045: "bpm", 618: "BPM", 615: "BPM", 220210: "insp/min", 224690: "insp/min",
    646: "%", 220277: "%", 676: "Deg. C", 677: "Deg. C", 678: "Deg. F", 679: "Deg. F", 223761: "?F",
    223762: "?C", 190: "torr", 506: "cmH2O", 220339: "cmH2O", 763: "kg", 224639: "kg", 762: "kg",
    226512: "kg", 198: "points",
}  # fmt: skip
_PRESSURES = ("systolic_blood_pressure", "diastolic_blood_pressure", "mean_blood_pressure")


@dataclass(frozen=True)
class _Moments:
    """One entry per moment."""

    stay: np.ndarray
    hour: np.ndarray
    time: np.ndarray
    full_hour: np.ndarray
    metavision: np.ndarray


@dataclass
class _Rows:
    """Rows under construction, one list of pieces for each column."""

    moment: list[np.ndarray]
    itemid: list[np.ndarray]
    value: list[np.ndarray]
    text: list[np.ndarray]

    def add(
        self,
        where: np.ndarray,
        itemid: np.ndarray | int,
        value: np.ndarray | float,
        text: np.ndarray | int = -1,
    ) -> None:
        """Append rows for the moments `where`; text: index in _TEXTS, -1 where the number is the text."""
        size = len(where)
        self.moment.append(where)
        self.itemid.append(np.broadcast_to(np.asarray(itemid, dtype=np.int32), size))
        self.value.append(np.broadcast_to(np.asarray(value, dtype=np.float64), size))
        self.text.append(np.broadcast_to(np.asarray(text, dtype=np.int16), size))


def chart_events(
    rng: np.random.Generator,
    people: People,
    admissions: Admissions,
    stays: Stays,
    course: Course,
    routine_events: float,
) -> dict[str, Column]:
    """Return the columns of CHARTEVENTS for a chunk, sorted by stay, time and item.

    routine_events: rows that no study reads, for each other one.
    """
    moments = _draw_moments(rng, people, stays, course)
    rows = _Rows([], [], [], [])
    _chart_vitals(rng, people, stays, course, moments, rows)
    _chart_pressures(rng, course, moments, rows)
    _chart_consciousness(rng, course, moments, rows)
    _chart_breathing_support(rng, course, moments, rows)
    _chart_words_and_weights(rng, people, stays, course, moments, rows)
    _chart_routine(rng, moments, rows, routine_events)
    moment = np.concatenate(rows.moment)
    itemid = np.concatenate(rows.itemid)
    value = np.concatenate(rows.value)
    text = np.concatenate(rows.text)
    error = _spoil(rng, itemid, value, text, moments.metavision[moment])
    copies = rng.random(len(moment)) < 0.004
    order = np.concatenate([np.arange(len(moment)), np.flatnonzero(copies)])
    key = moments.time[moment] - moments.time.min()
    order = order[np.lexsort((itemid[order], key[order], moments.stay[moment][order]))]
    return _columns(rng, people, admissions, stays, moments, moment[order], itemid[order], value[order],
                    text[order], error[order])  # fmt: skip


def _draw_moments(rng: np.random.Generator, people: People, stays: Stays, course: Course) -> _Moments:
    """Full hours mostly, quarters in between in unrest, gaps while the patient is away, stays without any."""
    size, hours = course.inside.shape
    unrest = course.severity + (course.norepinephrine > 0)
    away = rng.random((size, hours)) < 0.008
    for _ in range(3):
        away[:, 1:] |= away[:, :-1] & (rng.random((size, hours - 1)) < 0.65)
    chance = np.empty((size, hours, 4))
    chance[:, :, 0] = 0.97
    chance[:, :, 1:] = (0.015 + 0.12 * unrest)[:, :, None]
    here = course.inside & ~away & ~stays.uncharted[:, None]
    stay, hour, quarter = np.nonzero((rng.random(chance.shape) < chance) & here[:, :, None])
    late = np.where(rng.random(len(stay)) < 0.12, rng.integers(1, 14, len(stay)), 0)
    time = (stays.intime // HOUR * HOUR)[stay] + hour * HOUR + quarter * 900 + late * 60
    keep = (time >= stays.intime[stay]) & (time <= stays.outtime[stay])
    return _Moments(
        stay=stay[keep],
        hour=((time - (stays.intime // HOUR * HOUR)[stay]) / HOUR)[keep],
        time=time[keep],
        full_hour=(quarter == 0)[keep],
        metavision=people.metavision[stays.patient[stay]][keep],
    )


def _at(values: np.ndarray, moments: _Moments, where: np.ndarray) -> np.ndarray:
    """Interpolate an hourly course at moments."""
    stay, hour = moments.stay[where], moments.hour[where]
    before = hour.astype(np.int64)
    share = hour - before
    return values[stay, before] * (1 - share) + values[stay, before + 1] * share


def _every(
    rng: np.random.Generator, moments: _Moments, hours: int, chance: float, quarters: bool = False
) -> np.ndarray:
    """Indices of the moments at which a signal is charted that is due every so many hours."""
    due = (moments.hour.astype(np.int64) + moments.stay) % hours == 0
    due &= moments.full_hour | quarters
    return np.flatnonzero(due & (rng.random(len(due)) < chance))


def _system(moments: _Moments, where: np.ndarray, carevue: int, metavision: int) -> np.ndarray:
    return np.where(moments.metavision[where], metavision, carevue)


def _chart_vitals(
    rng: np.random.Generator, people: People, stays: Stays, course: Course, moments: _Moments, rows: _Rows
) -> None:
    for values, noise, carevue, metavision in (
        (course.heart_rate, 1.5, 211, 220045),
        (course.respiratory_rate, 1.8, 618, 220210),
        (course.spo2, 0.8, 646, 220277),
    ):
        where = _every(rng, moments, 1, 0.96, quarters=True)
        charted = _at(values, moments, where) + noise * rng.standard_normal(len(where))
        top = 100 if carevue == 646 else np.inf
        rows.add(where, _system(moments, where, carevue, metavision), charted.clip(0, top).round())
    where = _every(rng, moments, 4, 0.85)
    where = where[_at(course.ventilated.astype(float), moments, where) > 0.5]
    total = _at(course.respiratory_rate, moments, where) + rng.uniform(0, 3, len(where))
    rows.add(where, _system(moments, where, 615, 224690), total.round())

    where = _every(rng, moments, 3, 0.9)
    celsius = _at(course.temperature, moments, where) + 0.15 * rng.standard_normal(len(where))
    fahrenheit = (celsius * 1.8 + 32).round(1)
    celsius = celsius.round(1)
    patient = stays.patient[moments.stay[where]]
    # Whole units chart in Fahrenheit or in Celsius; the patient's number stands for the unit's habit.
    in_celsius = np.where(people.metavision, people.subject_id % 10 == 0, people.subject_id % 5 < 2)[patient]
    rows.add(where[in_celsius], _system(moments, where[in_celsius], 676, 223762), celsius[in_celsius])
    rows.add(where[~in_celsius], _system(moments, where[~in_celsius], 678, 223761), fahrenheit[~in_celsius])
    carevue = ~moments.metavision[where]
    # CareVue adds the value in the other unit, calculated.
    other = carevue & in_celsius
    rows.add(where[other], 679, (celsius[other] * 1.8 + 32).round(3))
    other = carevue & ~in_celsius
    rows.add(where[other], 677, ((fahrenheit[other] - 32) / 1.8).round(4))


def _chart_pressures(rng: np.random.Generator, course: Course, moments: _Moments, rows: _Rows) -> None:
    signs = load_vital_signs()
    items = {(i.system, i.device, name): i.itemid for name in _PRESSURES for i in signs[name].items}
    line = course.arterial_line[moments.stay]
    chances = {
        "arterial": np.where(line, 0.95, 0.0),
        "non_invasive": np.where(line, 0.12, 0.95),
        "arterial_second": np.where(line, 0.01, 0.0),
        "manual": np.full(len(line), 0.001),
    }
    for device, chance in chances.items():
        where = np.flatnonzero(rng.random(len(line)) < chance)
        if device == "manual":
            where = where[~moments.metavision[where]]
        noise = 3.5 if device.startswith("arterial") else 5.0
        shared = noise * rng.standard_normal(len(where))
        damped = rng.random(len(where)) < 0.004
        mean = _at(course.mean, moments, where)
        for name, hidden in zip(_PRESSURES, (course.systolic, course.diastolic, course.mean), strict=True):
            charted = _at(hidden, moments, where) + shared + 2 * rng.standard_normal(len(where))
            # A damped or kinked line shows nearly the same pressure in systole and diastole.
            charted = np.where(damped, mean + rng.standard_normal(len(where)), charted).clip(8).round()
            kept = rng.random(len(where)) < 0.985
            itemid = _system(
                moments,
                where,
                items["carevue", device, name],
                items.get(("metavision", device, name), 0),
            )
            rows.add(where[kept], itemid[kept], charted[kept])


def _chart_consciousness(rng: np.random.Generator, course: Course, moments: _Moments, rows: _Rows) -> None:
    where = _every(rng, moments, 4, 0.9)
    lost = (_at(course.coma, moments, where) + 0.6 * rng.standard_normal(len(where))).clip(0, 12)
    tube = _at(course.ventilated.astype(float), moments, where) > 0.5
    eye = (4 - (lost * 0.25).round()).clip(1, 4).astype(int)
    motor = (6 - (lost * 0.4).round()).clip(1, 6).astype(int)
    verbal = np.where(tube, 1, (5 - (lost * 0.35).round()).clip(1, 5)).astype(int)
    old = ~moments.metavision[where]
    for points, carevue, metavision, begins in (
        (eye, 184, 220739, _EYE),
        (motor, 454, 223901, _MOTOR),
        (verbal, 723, 223900, _VERBAL),
    ):
        text = np.where(old, begins[0], begins[1]) + points - 1
        if points is verbal:
            text = np.where(tube, np.where(old, 27, 33), text)
        rows.add(where, _system(moments, where, carevue, metavision), points, text)
    rows.add(where[old], 198, (eye + motor + verbal)[old])


def _chart_breathing_support(
    rng: np.random.Generator, course: Course, moments: _Moments, rows: _Rows
) -> None:
    where = _every(rng, moments, 2, 0.85)
    where = where[_at(course.ventilated.astype(float), moments, where) > 0.5]
    old = ~moments.metavision[where]
    inspired = (_at(course.fraction_inspired_oxygen, moments, where) * 20).round() / 20
    rows.add(where, _system(moments, where, 190, 223835), np.where(old, inspired, (inspired * 100).round()))
    peep = (5 + 10 * (inspired - 0.4)).round()
    rows.add(where, _system(moments, where, 506, 220339), peep)
    weaning = inspired <= 0.4
    mode = np.where(old, 4, 6) + weaning
    rows.add(where, _system(moments, where, 720, 223849), np.where(old, np.nan, 11 - weaning), mode)
    rows.add(where, _system(moments, where, 722, 223848), np.where(old, np.nan, 1), np.where(old, 8, 9))


def _chart_words_and_weights(
    rng: np.random.Generator, people: People, stays: Stays, course: Course, moments: _Moments, rows: _Rows
) -> None:
    where = _every(rng, moments, 1, 0.9)
    fast = _at(course.heart_rate, moments, where) > 100
    rhythm = np.where(moments.metavision[where], 2, 0) + fast
    rows.add(where, _system(moments, where, 212, 220048), np.nan, rhythm)
    where = _every(rng, moments, 12, 0.4)
    rows.add(where, _system(moments, where, 413, 224032), np.nan, rng.integers(10, 14, len(where)))
    where = _every(rng, moments, 24, 0.7)
    weight = people.weight_kg[stays.patient[moments.stay[where]]]
    drift = 1 + 0.004 * moments.hour[where] / 24 * rng.standard_normal(len(where))
    rows.add(where, _system(moments, where, 763, 224639), (weight * drift).round(1))
    _, first = np.unique(moments.stay, return_index=True)
    weight = people.weight_kg[stays.patient[moments.stay[first]]]
    rows.add(first, _system(moments, first, 762, 226512), weight)


def _chart_routine(rng: np.random.Generator, moments: _Moments, rows: _Rows, share: float) -> None:
    size = round(share * sum(map(len, rows.moment)))
    where = rng.integers(0, len(moments.stay), size)
    itemid, number, text = routine_rows(rng, moments.metavision[where])
    rows.add(where, itemid, number, np.where(text < 0, -1, len(_TEXTS) - len(ROUTINE_TEXTS) + text))


def _spoil(
    rng: np.random.Generator, itemid: np.ndarray, value: np.ndarray, text: np.ndarray, metavision: np.ndarray
) -> np.ndarray:
    """Put the usual slips into numeric rows, in place; return the error flag (only MetaVision has one)."""
    numeric = (text < 0) & ~np.isnan(value)
    fate = rng.random(len(value))
    celsius = np.isin(itemid, [676, 223762])
    value[numeric & (fate < 0.0004)] = 0.0
    slipped = numeric & (fate >= 0.0004) & (fate < 0.0008)
    value[slipped] = (value[slipped] * 10).round(1)
    value[numeric & (fate >= 0.0008) & (fate < 0.0010)] = 999999.0
    value[numeric & (fate >= 0.0010) & (fate < 0.0018)] = np.nan
    in_fahrenheit = numeric & celsius & (fate >= 0.05) & (fate < 0.055)
    value[in_fahrenheit] = (value[in_fahrenheit] * 1.8 + 32).round(1)
    error = numeric & metavision & (fate >= 0.0018) & (fate < 0.0035)
    value[error] = (value[error] * rng.choice([0.5, 1.5, 2.0], int(error.sum()))).round()
    return error


def _columns(
    rng: np.random.Generator,
    people: People,
    admissions: Admissions,
    stays: Stays,
    moments: _Moments,
    moment: np.ndarray,
    itemid: np.ndarray,
    value: np.ndarray,
    text: np.ndarray,
    error: np.ndarray,
) -> dict[str, Column]:
    size = len(moment)
    stay = moments.stay[moment]
    time = moments.time[moment]
    metavision = moments.metavision[moment]
    units = sorted({*_UNITS.values(), "mmHg"})
    known = np.array(sorted(_UNITS))
    unit_of = np.array([units.index(_UNITS[key]) for key in known.tolist()])
    place = np.searchsorted(known, itemid).clip(max=len(known) - 1)
    pressures = [item.itemid for name in _PRESSURES for item in load_vital_signs()[name].items]
    unit = np.where(known[place] == itemid, unit_of[place], -1)
    unit = np.where(np.isin(itemid, pressures), units.index("mmHg"), unit)
    numbers = pa.array(value, from_pandas=True)
    flagged = pa.array(metavision)
    stopped = np.where(metavision, -1, (rng.random(size) < 0.003).astype(int))
    return {
        "subject_id": people.subject_id[stays.patient[stay]],
        "hadm_id": admissions.hadm_id[stays.admission[stay]],
        "icustay_id": pa.array(stays.icustay_id[stay], mask=rng.random(size) < 0.004),
        "itemid": itemid,
        "charttime": times(time),
        "storetime": times(time + 60 * rng.integers(1, 90, size)),
        "cgid": 14000 + (time // (12 * HOUR) * 7919 + stay * 31) % 7000,
        "value": pc.if_else(pa.array(text < 0), numbers.cast(pa.string()), choose(_TEXTS, text)),
        "valuenum": numbers,
        "valueuom": choose(units, unit),
        "warning": pc.if_else(flagged, pa.array((rng.random(size) < 0.02).astype(np.int64)), None),
        "error": pc.if_else(flagged, pa.array(error.astype(np.int64)), None),
        "stopped": choose(["NotStopd", "D/C'd"], stopped),
    }
