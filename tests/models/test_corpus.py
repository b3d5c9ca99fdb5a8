"""The synthetic corpus: reproducible, complete where it must be, and of the shapes that it names."""

import numpy as np
import pytest

from workflow_scripts.models.corpus import (
    DEVELOPMENT_FAMILIES,
    FAMILIES,
    HELD_OUT_FAMILIES,
    TRAINING_FAMILIES,
    synthesise,
)

START = np.arange(400) * 7


def shapes(name: str, seed: int = 0, length: int = 96) -> np.ndarray:
    return FAMILIES[name](np.random.default_rng(seed), START, length)


def autocorrelation(paths: np.ndarray, lag: int) -> np.ndarray:
    """Of each path at one lag, about its own mean."""
    centred = paths - paths.mean(axis=1, keepdims=True)
    return (centred[:, lag:] * centred[:, :-lag]).sum(axis=1) / (centred**2).sum(axis=1)


def test_the_seed_decides_every_value() -> None:
    first, again, other = (synthesise(TRAINING_FAMILIES, 200, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.context, again.context)
    np.testing.assert_array_equal(first.target, again.target)
    np.testing.assert_array_equal(first.start, again.start)
    assert not np.array_equal(first.context, other.context, equal_nan=True)


def test_every_family_has_one_purpose() -> None:
    assert sorted((*TRAINING_FAMILIES, *DEVELOPMENT_FAMILIES, *HELD_OUT_FAMILIES)) == sorted(FAMILIES)


def test_no_context_and_no_target_is_empty_and_nothing_is_infinite() -> None:
    corpus = synthesise(TRAINING_FAMILIES, 1000, 5)
    assert corpus.context.shape == (1000, 72)
    assert corpus.target.shape == (1000, 24)
    assert np.isfinite(corpus.context[:, -1]).all()
    assert np.isfinite(corpus.target[:, 0]).all()
    assert not np.isinf(corpus.context).any()
    assert not np.isinf(corpus.target).any()
    assert corpus.context.dtype == corpus.target.dtype == np.float32


def test_many_contexts_are_a_day_long_and_gaps_stand_on_both_sides() -> None:
    corpus = synthesise(TRAINING_FAMILIES, 2000, 6)
    first_observed = np.argmax(np.isfinite(corpus.context), axis=1)
    assert 0.3 < (first_observed == 72 - 24).mean() < 0.55
    inside = np.isnan(corpus.context) & (np.arange(72) > first_observed[:, None])
    assert 0.02 < inside.any(axis=1).mean() < 0.2
    assert 0.15 < np.isnan(corpus.target).any(axis=1).mean() < 0.35


def test_complete_series_have_no_gap() -> None:
    corpus = synthesise(TRAINING_FAMILIES, 300, 6, complete=True)
    assert np.isfinite(corpus.context).all()
    assert np.isfinite(corpus.target).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_finite_paths_that_differ(name: str) -> None:
    paths = shapes(name)
    assert paths.shape == (400, 96)
    assert np.isfinite(paths).all()
    assert (paths.std(axis=1) > 0).mean() > 0.95
    assert len(np.unique(paths.sum(axis=1))) > 350


def test_the_daily_rhythm_peaks_in_the_afternoon() -> None:
    hour = (START[:, None] + np.arange(96)) % 24
    mean = [shapes("slow_with_episodes", seed=1)[hour == each].mean() for each in range(24)]
    assert 13 <= int(np.argmax(mean)) <= 19


def test_the_threshold_process_returns_faster_from_above() -> None:
    """Definition of the process: the coefficient above the threshold is the smaller one."""
    paths = shapes("threshold", seed=2)
    before, after = paths[:, :-1], paths[:, 1:]
    above, below = (np.sum((before * after)[m]) / np.sum((before**2)[m]) for m in (before > 1, before < -1))
    assert above < 0.7 < below


def test_intermittent_series_are_mostly_zero_and_never_negative() -> None:
    paths = shapes("intermittent", seed=3)
    assert 0.6 < (paths == 0).mean() < 0.95
    assert (paths >= 0).all()
    corpus = synthesise(("intermittent",), 1000, 4, complete=True)
    assert 0.4 < (corpus.context == 0).any(axis=1).mean() < 0.6


def test_predator_and_prey_circle_the_known_equilibrium() -> None:
    """Volterra: over whole cycles the mean of each population is its equilibrium, here 1, so exp averages to 1.

    Half of the paths carry a daily rhythm on top and shocks move the others: hence the median and the tolerance.
    """
    population = np.exp(shapes("predator_prey", seed=5, length=600)).mean(axis=1)
    assert float(np.median(population)) == pytest.approx(1.0, abs=0.15)


def test_a_daily_profile_repeats_after_24_hours_and_not_after_12() -> None:
    paths = shapes("daily_profile", seed=6)
    assert float(np.median(autocorrelation(paths, 24))) > 0.6
    assert float(np.median(autocorrelation(paths, 12))) < 0.2


def test_changing_volatility_has_more_large_steps_than_a_normal_process() -> None:
    """A normal process has a kurtosis of 3; a mixture of spreads has more."""
    steps = np.diff(shapes("changing_volatility", seed=7, length=600), axis=1)
    standardised = steps / steps.std(axis=1, keepdims=True)
    assert float(np.median((standardised**4).mean(axis=1))) > 3.5


def test_levels_are_mostly_those_of_positive_signs() -> None:
    corpus = synthesise(TRAINING_FAMILIES, 2000, 8)
    assert 0.7 < (np.nanmin(corpus.context, axis=1) > 0).mean() < 0.95
    level = np.nanmean(np.abs(corpus.context), axis=1)
    assert np.percentile(level, 5) < 0.3
    assert np.percentile(level, 95) > 50
