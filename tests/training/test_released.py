"""The study's own training budget, in the loop's terms."""

import pytest

from workflow_scripts.models.registry import SCRATCH_VARIANTS, variant
from workflow_scripts.training.loop import rate_factor
from workflow_scripts.training.released import NO_CLIPPING, released_budget


@pytest.mark.parametrize(("windows", "epoch"), [(1, 1), (1024, 1), (1025, 2), (10_000, 10)])
def test_an_epoch_sees_every_window_and_ends_with_a_validation(windows: int, epoch: int) -> None:
    budget = released_budget(variant("n-hits-bp").training, windows)
    assert (budget.evaluate_every, budget.steps) == (epoch, 1000 * epoch)


@pytest.mark.parametrize("name", SCRATCH_VARIANTS)
def test_batch_epochs_and_patience_are_the_released_ones(name: str) -> None:
    """SpassMed/Pipeline at cdae016: batch 1024, at most 1000 epochs, patience 20."""
    budget = released_budget(variant(name).training, 1024)
    assert (budget.batch_size, budget.steps, budget.patience) == (1024, 1000, 20)
    assert (budget.weight_decay, budget.warmup_fraction, budget.gradient_clip) == (0, 0, NO_CLIPPING)


def test_the_learning_rates_are_the_released_ones() -> None:
    rates = {name: released_budget(variant(name).training, 1).learning_rate for name in SCRATCH_VARIANTS}
    assert rates == {"n-beats": 1e-3, "n-hits-bp": 3.2177e-4, "n-hits-hr": 2.2269e-3, "tft": 1e-3}


def test_the_rate_starts_at_its_peak_and_is_still_90_percent_after_a_fifth_of_the_epochs() -> None:
    budget = released_budget(variant("n-hits-hr").training, 1024)
    assert rate_factor(0, budget) == 1
    assert rate_factor(200, budget) == pytest.approx(0.905, abs=1e-3)
