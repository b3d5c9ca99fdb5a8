"""Every arm tries the same candidates; validation alone chooses."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.linear_model import LinearModel
from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.parameters import TrainingParameters, TuningParameters
from workflow_scripts.training.tuning import Tuned, train_best

CPU = torch.device("cpu")
BUDGET = TrainingParameters(steps=20, evaluate_every=5, patience=20, checkpoint_seconds=0)


def doubled(count: int, seed: int) -> WindowArrays:
    """Windows whose target is twice the last value of the context."""
    context = np.random.default_rng(seed).normal(1, 1, (count, 4)).astype(np.float32)
    target = np.repeat(2 * context[:, -1:], 3, axis=1)
    return WindowArrays(context, target, np.zeros(count, np.int64), 3600)


def tune(candidates: list[TrainingParameters], folder: Path) -> tuple[Tuned, list[ForecastModel]]:
    """Train the candidates; return what came of it, and the models that were kept, the last one last."""
    kept: list[ForecastModel] = []
    tuned = train_best(
        lambda _: (LinearModel(), TrainingHooks()),
        kept.append,
        candidates,
        doubled(100, 1),
        doubled(30, 2),
        seed=0,
        device=CPU,
        checkpoints=folder,
    )
    return tuned, kept


def rates(*values: float) -> list[TrainingParameters]:
    """Candidates that differ in their learning rate."""
    return TuningParameters(learning_rates=list(values)).candidates(BUDGET)


def test_the_candidates_are_every_combination_of_rates_and_steps():
    candidates = TuningParameters(learning_rates=[0.1, 0.2], steps=[5, 10]).candidates(BUDGET)
    assert [(one.learning_rate, one.steps) for one in candidates] == [
        (0.1, 5),
        (0.1, 10),
        (0.2, 5),
        (0.2, 10),
    ]


def test_with_nothing_to_tune_the_budget_itself_is_the_one_candidate():
    assert TuningParameters().candidates(BUDGET) == [BUDGET]


def test_the_candidate_with_the_smallest_validation_loss_is_kept(tmp_path: Path):
    tuned, kept = tune(rates(1e-6, 0.05, 1e-5), tmp_path)
    losses = [trial.best_validation_loss for trial in tuned.trials]
    assert tuned.chosen.learning_rate == 0.05
    assert tuned.history.best_validation_loss == min(losses) == losses[1]
    assert len(kept) == 2, "the first candidate, then the one that was better"


def test_a_candidate_ends_with_the_weights_that_it_has_alone(tmp_path: Path):
    # Each candidate starts anew: what was tried before it must leave no trace.
    _, among_others = tune(rates(1e-6, 0.05), tmp_path / "a")
    _, alone = tune(rates(0.05), tmp_path / "b")
    for name, weight in alone[-1].module.state_dict().items():
        assert torch.equal(weight, among_others[-1].module.state_dict()[name])


def test_a_candidate_that_diverges_is_reported_and_never_chosen(tmp_path: Path):
    tuned, _ = tune(rates(0.05, 1e25), tmp_path)
    assert tuned.chosen.learning_rate == 0.05
    assert tuned.failure == ""
    assert tuned.trials[1].best_validation_loss is None
    assert "step" in tuned.trials[1].failure


def test_of_equal_candidates_the_first_is_kept(tmp_path: Path):
    tuned, kept = tune(rates(0.01) + rates(0.01), tmp_path)
    first, second = (trial.best_validation_loss for trial in tuned.trials)
    assert first == second
    assert len(kept) == 1


def test_without_a_candidate_there_is_nothing_to_train(tmp_path: Path):
    with pytest.raises(UserError, match="no candidate"):
        tune([], tmp_path)


def test_where_every_candidate_diverges_the_last_good_weights_are_kept_and_the_reason_is_said(tmp_path: Path):
    tuned, kept = tune(rates(1e25), tmp_path)
    assert "loss is" in tuned.failure
    assert len(kept) == 1
    assert all(weight.isfinite().all() for weight in kept[0].module.state_dict().values())


def test_what_was_interrupted_goes_on_with_the_candidate_that_was_under_way(tmp_path: Path):
    whole, kept = tune(rates(0.01, 0.05), tmp_path / "whole")

    class KilledError(Exception):
        pass

    def die(_: ForecastModel) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        train_best(
            lambda _: (LinearModel(), TrainingHooks()),
            die,
            rates(0.01, 0.05),
            doubled(100, 1),
            doubled(30, 2),
            seed=0,
            device=CPU,
            checkpoints=tmp_path / "killed",
        )
    assert (tmp_path / "killed" / "candidate0").is_dir()
    again, kept_again = tune(rates(0.01, 0.05), tmp_path / "killed")
    assert again == whole
    for name, weight in kept[-1].module.state_dict().items():
        assert torch.equal(weight, kept_again[-1].module.state_dict()[name])
