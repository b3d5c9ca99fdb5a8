"""The hidden hourly course of every ICU stay: sepsis, circulation, breathing, temperature, organs.

All arrays are [stays, hours]; hour 0 is the clock hour at or before ICU admission.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from workflow_scripts.sources.mimic_iii.simulator.patients import HOUR, People, Stays


@dataclass(frozen=True)
class Course:
    """What monitors, laboratories and nurses will look at. Pressures in mmHg, temperature in degC."""

    severity: np.ndarray
    """Septic severity, 0 to 1."""
    organ_damage: np.ndarray
    """Severity as organs feel it: delayed and slow to heal."""
    heart_rate: np.ndarray
    systolic: np.ndarray
    diastolic: np.ndarray
    mean: np.ndarray
    respiratory_rate: np.ndarray
    spo2: np.ndarray
    temperature: np.ndarray
    norepinephrine: np.ndarray
    """mcg/kg/min, 0 where none runs."""
    ventilated: np.ndarray
    fraction_inspired_oxygen: np.ndarray
    oxygenation: np.ndarray
    """PaO2 / FiO2, mmHg."""
    coma: np.ndarray
    """Points lost of the 15 of the Glasgow Coma Scale, 0 to 12."""
    urine_ml: np.ndarray
    """Millilitres in the hour."""
    arterial_line: np.ndarray
    """[stays] whether pressure is measured within an artery."""
    inside: np.ndarray
    """Whether the hour lies within the stay."""


def draw_course(rng: np.random.Generator, people: People, stays: Stays) -> Course:
    """Draw the course of every stay of a chunk."""
    size = len(stays.patient)
    length = (stays.outtime - stays.intime // HOUR * HOUR) / HOUR
    hours = int(np.ceil(length.max())) + 2
    hour = np.arange(hours)[None, :]
    patient = stays.patient
    own = _set_points(rng, len(people.subject_id), patient)

    severity = _severity(rng, stays, length, hour)
    damage = _smooth(severity, 10.0)
    dying = np.where(stays.dies[:, None], np.clip(1 - (length[:, None] - hour) / 14, 0, 1), 0.0)
    clock = (stays.intime // HOUR % 24)[:, None] + hour
    daytime = np.cos(2 * np.pi * (clock - 16 - own["phase"]) / 24)

    arousal = _autocorrelated(rng, (size, hours), 0.92) + _bursts(rng, (size, hours))
    tone = _autocorrelated(rng, (size, hours), 0.88)
    drift = _autocorrelated(rng, (size, hours), 0.985)
    temperature = (
        36.85
        + 0.2 * daytime
        + 0.7 * _autocorrelated(rng, (size, hours), 0.96)
        + 1.9 * own["fever"] * severity
        - 1.2 * dying
    )
    base_mean = own["mean"]
    untreated = (
        base_mean
        + 1.5 * daytime * own["circadian"]
        + 6.0 * tone
        + 6.5 * drift
        + 2.5 * arousal
        + 10.8 * own["volatility"] * _excursions(rng, (size, hours))
        - 34 * own["vasoplegia"] * severity
        - 28 * dying
    )
    need = np.where((severity > 0.3) | (dying > 0), (66 - untreated).clip(0), 0.0)
    norepinephrine = _smooth(0.028 * need, 2.0).clip(0, 0.9)
    norepinephrine = np.where(norepinephrine > 0.02, norepinephrine, 0.0)
    mean = untreated + (norepinephrine / 0.028) * 0.85 * (1 - 0.6 * dying)
    # Baroreflex: the heart speeds up when pressure falls below the patient's own level.
    heart_rate = (
        own["heart_rate"]
        + 1.5 * daytime * own["circadian"]
        + 4.0 * arousal
        + 1.5 * _autocorrelated(rng, (size, hours), 0.985)
        + 5.4 * own["volatility"] * _excursions(rng, (size, hours))
        + own["rhythm_noise"] * _autocorrelated(rng, (size, hours), 0.7)
        - 0.32 * (mean - base_mean)
        + 7.0 * (temperature - 37).clip(-1, 3)
        + 26 * own["reactivity"] * severity
        - 30 * dying**3
    ).clip(28, 190)
    pulse = (
        own["pulse"]
        + 3 * arousal
        - 4 * severity
        + 0.5 * (mean - base_mean)
        + 6 * _autocorrelated(rng, (size, hours), 0.9)
        + 8 * own["volatility"] * _excursions(rng, (size, hours))
    ).clip(18)

    surgery_hours = rng.uniform(4, 20, size) * (rng.random(size) < 0.35)
    ventilated = (hour < surgery_hours[:, None]) | (damage > own["lung_threshold"])
    ventilated |= dying > 0.5
    oxygenation = (
        own["oxygenation"]
        - 240 * damage * own["lung"]
        - 120 * dying
        + 22 * _autocorrelated(rng, (size, hours), 0.9)
    ).clip(55, 520)
    inspired = np.where(ventilated, (0.4 + 0.5 * (250 - oxygenation).clip(0) / 200).clip(0.4, 1.0), 0.21)
    respiratory = (
        own["respiratory_rate"]
        + 1.0 * _autocorrelated(rng, (size, hours), 0.8)
        + 3.6 * _autocorrelated(rng, (size, hours), 0.985)
        + 1.2 * arousal
        + 4.8 * own["volatility"] * _excursions(rng, (size, hours))
        + np.where(ventilated, 3.0, 9.5) * severity
        + 1.0 * (temperature - 37).clip(0)
        + 5 * dying * (1 - dying)
    ).clip(9, 48)
    saturation = (
        own["spo2"]
        - 2.2 * damage * own["lung"]
        - 9 * dying**2
        + 1.8 * _autocorrelated(rng, (size, hours), 0.95)
        - 2.9 * own["volatility"] * np.abs(_excursions(rng, (size, hours)))
    ).clip(60, 100)
    coma = np.where(ventilated, 4.0, 0.0) + 5 * damage * own["brain"] + 6 * dying
    urine = (
        own["urine"]
        * people.weight_kg[patient][:, None]
        * (1 - 0.85 * damage * own["kidney"]).clip(0.05)
        * (1 - 0.8 * dying)
        * np.exp(0.35 * rng.standard_normal((size, hours)))
    )
    return Course(
        severity=severity,
        organ_damage=damage,
        heart_rate=heart_rate,
        systolic=mean + pulse * 2 / 3,
        diastolic=mean - pulse / 3,
        mean=mean,
        respiratory_rate=respiratory,
        spo2=saturation,
        temperature=temperature,
        norepinephrine=norepinephrine,
        ventilated=ventilated,
        fraction_inspired_oxygen=inspired,
        oxygenation=oxygenation,
        coma=coma.clip(0, 12),
        urine_ml=urine,
        arterial_line=(norepinephrine.max(axis=1) > 0) | (rng.random(size) < 0.3),
        inside=hour < length[:, None],
    )


def _set_points(rng: np.random.Generator, size: int, patient: np.ndarray) -> dict[str, np.ndarray]:
    """What stays the same in a patient, as [stays, 1]: set points, and how strongly organs react."""
    fever = np.where(rng.random(size) < 0.9, rng.uniform(0.6, 1.2, size), -0.6)
    drawn = {
        "phase": rng.normal(0, 1.5, size),
        "circadian": rng.uniform(0.4, 1.6, size),
        "heart_rate": rng.normal(82, 11, size).clip(52, 118),
        "rhythm_noise": np.where(rng.random(size) < 0.15, 9.0, rng.uniform(1.5, 3.5, size)),
        "volatility": rng.lognormal(-0.1, 0.45, size),
        "mean": rng.normal(80, 9, size).clip(66, 108),
        "pulse": rng.normal(60, 16, size).clip(28, 110),
        "respiratory_rate": rng.normal(18.0, 3.8, size).clip(11, 32),
        "spo2": rng.normal(98.3, 1.7, size).clip(92, 99.5),
        "reactivity": rng.uniform(0.4, 1.4, size),
        "vasoplegia": rng.uniform(0.5, 1.2, size),
        "fever": fever,
        "oxygenation": rng.normal(370, 50, size).clip(230, 500),
        "lung": rng.uniform(0.3, 1.0, size),
        "lung_threshold": rng.uniform(0.45, 1.1, size),
        "kidney": rng.uniform(0.2, 1.0, size),
        "brain": rng.uniform(0.2, 1.0, size),
        "urine": rng.uniform(0.7, 1.5, size),
    }
    return {name: values[patient][:, None] for name, values in drawn.items()}


def _severity(rng: np.random.Generator, stays: Stays, length: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """Rise within hours of the onset, a plateau, then slow recovery, or none in those who die."""
    size = len(length)
    rise = rng.uniform(2, 7, size)[:, None]
    plateau = rng.uniform(12, 40, size)[:, None]
    recovery = rng.uniform(18, 40, size)[:, None]
    since = hour - np.where(np.isfinite(stays.onset_hour), stays.onset_hour, 1e9)[:, None]
    grown = 1 - np.exp(-since.clip(0) / rise)
    healed = np.exp(-(since - plateau).clip(0) / recovery)
    return stays.severity[:, None] * grown * np.where(stays.dies[:, None], 1.0, healed)


def _autocorrelated(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> np.ndarray:
    """Stationary first-order autoregression along hours with unit variance; memory: correlation at 1 h."""
    white = rng.standard_normal(shape)
    gain = np.sqrt(1 - memory**2)
    return lfilter([gain], [1, -memory], white, axis=1, zi=(1 - gain) * white[:, :1])[0]


def _bursts(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Pain, nursing and fear: now and then a sudden rise that fades within a few hours."""
    jolts = rng.exponential(3.0, shape) * (rng.random(shape) < 0.03)
    return lfilter([1.0], [1, -0.4], jolts, axis=1)


def _excursions(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Sudden departures either way that fade within an hour or two: turning, suction, a cuff, a change of dose."""
    jolts = rng.laplace(0.0, 1.0, shape) * (rng.random(shape) < 0.2)
    return lfilter([1.0], [1, -0.25], jolts, axis=1)


def _smooth(values: np.ndarray, hours: float) -> np.ndarray:
    """Exponential moving average along hours, starting at the first value."""
    share = 1 - np.exp(-1 / hours)
    return lfilter([share], [1, share - 1], values, axis=1, zi=(1 - share) * values[:, :1])[0]
