"""Windows of AR(1) series, whose exact forecasts are known: N(mean + 0.7^k (last - mean), 8^2 (1 - 0.49^k))."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from workflow_scripts.windows.reading import WindowMetadata, Windows

PHI, DEVIATION, HORIZON, CONTEXT = 0.7, 8.0, 12, 24
LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def windows(count: int, seed: int = 0, split: str = "", per_patient: int = 1) -> Windows:
    """Windows of mean blood pressure; the means of the patients are 80 ± 8."""
    random = np.random.default_rng(seed)
    patient = np.arange(count) // per_patient
    mean = random.normal(80, 8, patient[-1] + 1)[patient]
    series = np.empty((count, CONTEXT + HORIZON))
    series[:, 0] = random.normal(0, DEVIATION, count)
    for step in range(1, CONTEXT + HORIZON):
        noise = random.normal(0, DEVIATION * np.sqrt(1 - PHI**2), count)
        series[:, step] = PHI * series[:, step - 1] + noise
    values = (series + mean[:, None]).astype(np.float32)
    splits = np.array(["train", "validation", "test"])[patient % 3]
    return Windows(
        context=values[:, :CONTEXT],
        target=values[:, CONTEXT:],
        covariates=np.zeros((count, 0, CONTEXT), np.float32),
        start=np.arange(count) % per_patient * 36 * 3600,
        split=np.full(count, split) if split else splits,
        hours_from_onset=np.full(count, np.nan, np.float32),
        steps_since_observed=np.zeros(count, np.int64),
        window_id=np.arange(count),
        subject_id=patient.astype(str),
        icustay_id=patient.astype(str),
        metadata=WindowMetadata(
            "mean_blood_pressure", "mmHg", 0.0, 190.0, 60, CONTEXT, HORIZON, "by_patient"
        ),
    )


def forecast(given: Windows, levels: list[float] = LEVELS) -> NDArray[np.float32]:
    """The exact predictive quantiles, the patient's mean and the noise unknown: [N, levels, horizon]."""
    steps = np.arange(CONTEXT + HORIZON)
    covariance = DEVIATION**2 * PHI ** np.abs(steps[:, None] - steps) + 64.0
    known, cross = covariance[:CONTEXT, :CONTEXT], covariance[CONTEXT:, :CONTEXT]
    gain = np.linalg.solve(known, cross.T).T
    centre = 80 + (given.context - 80) @ gain.T
    spread = np.sqrt(np.diag(covariance[CONTEXT:, CONTEXT:] - gain @ cross.T))
    shifts = norm.ppf(levels)
    return (centre[:, None, :] + shifts[None, :, None] * spread).astype(np.float32)
