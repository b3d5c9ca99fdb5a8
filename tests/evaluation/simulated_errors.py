"""Errors of arms on simulated patients, where the true differences are known.

`python tests/evaluation/simulated_errors.py` prints the coverage and the false alarms that docs/statistics.md quotes.
"""

import numpy as np

from workflow_scripts.evaluation.bootstrap import draw_patients, resample_patients, resample_seeds
from workflow_scripts.evaluation.comparison import compare
from workflow_scripts.evaluation.patient_sums import PatientSums


def simulate_sums(generator, patients, differences, seeds=1, seed_spread=0.0):
    """Sums of skewed errors around 1 of 1 to 9 windows a patient: arms [0, *differences], each with all seeds.

    What patients share (a log-normal level) is common to the arms; each arm also deviates by patient, by seed
    (`seed_spread`, standard deviation) and by window. The true difference from arm 0 is `differences`.
    """
    arms = 1 + len(differences)
    windows = generator.integers(1, 10, size=patients)
    level = generator.lognormal(-0.125, 0.5, size=(patients, 1, 1))
    deviation = generator.gamma(4.0, 0.1, size=(patients, arms, 1)) - 0.4
    luck = generator.normal(scale=seed_spread, size=(1, arms, seeds)) if seed_spread else 0.0
    means = level + deviation + luck + np.array([0.0, *differences])[None, :, None]
    noise = generator.normal(scale=0.4 * np.sqrt(windows)[:, None, None], size=(patients, arms, seeds))
    errors = windows[:, None, None] * means + noise
    return PatientSums(
        errors=errors.reshape(patients, arms * seeds, 1),
        weights=windows[:, None].astype(float),
        windows=int(windows.sum()),
    )


def resampled(sums, resamples, seed):
    """Replicates of the metrics over patients drawn with replacement."""
    return resample_patients(sums, draw_patients(sums.patients, resamples, seed))


def differences_from_the_first(sums, resamples, seeds=1, seed=0, confidence=0.95):
    """`compare` of every further arm with the first one."""
    replicates = resampled(sums, resamples, seed)[:, :, 0]
    values = sums.metrics()[:, 0]
    groups = [slice(start, start + seeds) for start in range(0, len(values), seeds)]
    arms = [resample_seeds(replicates[:, group, None], range(seeds), seed)[:, 0] for group in groups]
    return [
        compare(values[group].mean(), values[groups[0]].mean(), arm, arms[0], confidence)
        for group, arm in zip(groups[1:], arms[1:], strict=True)
    ]


def coverage(patients, studies, resamples, seeds=1, seed_spread=0.0, difference=0.1):
    """Share of simulated studies whose interval holds the true difference."""
    covered = 0
    for study in range(studies):
        sums = simulate_sums(
            np.random.default_rng([study, patients, seeds]), patients, [difference], seeds, seed_spread
        )
        (found,) = differences_from_the_first(sums, resamples, seeds, seed=study)
        covered += found.low <= difference <= found.high
    return covered / studies


def false_alarms(patients, studies, resamples):
    """Share of simulated studies of two equal arms whose p-value is at most 0.05."""
    alarms = 0
    for study in range(studies):
        sums = simulate_sums(np.random.default_rng([study, patients, 77]), patients, [0.0])
        (found,) = differences_from_the_first(sums, resamples, seed=study)
        alarms += found.p_value <= 0.05
    return alarms / studies


def main():
    """Print the table of docs/statistics.md: 4,000 simulated studies a line, 1,000 resamples each."""
    studies, resamples = 4000, 1000
    print("patients  coverage of 95 % intervals  false alarms at 5 %")
    for patients in (10, 20, 40, 100, 400):
        held, alarms = coverage(patients, studies, resamples), false_alarms(patients, studies, resamples)
        print(f"{patients:8}  {100 * held:26.1f}  {100 * alarms:19.1f}", flush=True)
    print("seeds     coverage with seeds that differ (100 patients)")
    for seeds in (1, 3, 5, 10):
        held = coverage(100, studies, resamples, seeds, seed_spread=0.1)
        print(f"{seeds:8}  {100 * held:26.1f}", flush=True)


if __name__ == "__main__":
    main()
