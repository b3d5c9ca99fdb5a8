"""AdaLoRA asks more of the training loop than a gradient; without it, it would be another method."""

import pytest
import torch

from tests.helpers.tiny_families import CONTEXT, TARGET, tiny
from tests.helpers.trained_arms import train, trained
from workflow_scripts.adaptation.adapters import save_adapter
from workflow_scripts.adaptation.adapting import adapt
from workflow_scripts.adaptation.arms import Arm
from workflow_scripts.adaptation.hooks import TrainingHooks
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.loop import fit
from workflow_scripts.training.parameters import TrainingParameters

ARM = Arm("adalora", 2)


def adapted(family: str, steps: int, **settings: float):
    model = tiny(family)
    return model, adapt(model, ARM, AdaptationParameters(**settings), seed=1, steps=steps)


def singular_values(model) -> list[torch.Tensor]:
    return [value for name, value in model.module.named_parameters() if ".lora_E." in name]


def test_the_penalty_is_the_one_that_peft_adds_to_a_loss():
    model, hooks = adapted("chronos", steps=10, adalora_orthogonality=0.7)
    ids = torch.tensor([[5, 9, 30, 1]])
    batch = {"input_ids": ids, "labels": ids}
    with torch.no_grad():
        with_penalty = model.module.base_model(**batch).loss
        without = model.module.get_base_model()(**batch).loss
        torch.testing.assert_close(hooks.penalty(), with_penalty - without)


@pytest.mark.parametrize("family", ["chronos", "moirai", "lag-llama"])
def test_training_ends_with_the_rank_that_was_asked_for(family):
    model, hooks = adapted(family, steps=10)
    values = singular_values(model)
    assert all(len(value) == 3 for value in values)
    train(model, hooks, range(1, 11))
    left = sum(int(value.count_nonzero()) for value in values)
    assert 0 < left <= 2 * len(values)


def test_what_was_cut_stays_cut():
    model, hooks = adapted("lag-llama", steps=8)
    train(model, hooks, range(1, 5))
    cut = [value == 0 for value in singular_values(model)]
    train(model, hooks, range(5, 9))
    assert all(torch.equal(value == 0, zero) for value, zero in zip(singular_values(model), cut, strict=True))


def test_weights_from_before_the_last_cut_are_never_the_result():
    _, hooks = adapted("lag-llama", steps=20)
    # Half of the steps follow the last cut, which is at step 10; before the first step all values are zero.
    assert [step for step in range(21) if hooks.may_keep(step)] == [0, *range(10, 21)]


def test_an_adapter_that_was_trained_without_the_hooks_is_not_saved_as_adalora(tmp_path):
    model, _ = adapted("lag-llama", steps=10)
    train(model, TrainingHooks(), range(1, 4))
    with pytest.raises(RuntimeError, match="call the training hooks"):
        save_adapter(model, ARM, tmp_path, "tiny")


def test_an_interrupted_training_goes_on_from_its_state():
    def first_half():
        model, hooks = adapted("lag-llama", steps=8)
        train(model, hooks, range(1, 4))
        return model, hooks

    (whole, hooks), (_, other) = first_half(), first_half()
    resumed, resumed_hooks = adapted("lag-llama", steps=8)
    resumed.module.load_state_dict(whole.module.state_dict())
    resumed_hooks.restore(other.state())
    for model, its_hooks in ((whole, hooks), (resumed, resumed_hooks)):
        train(model, its_hooks, range(4, 9))
    assert all(map(torch.equal, singular_values(whole), singular_values(resumed)))


def test_other_methods_ask_nothing_of_the_loop():
    hooks = trained("lag-llama", "lora-r2").hooks
    assert type(hooks) is TrainingHooks
    assert hooks.penalty() == 0
    assert all(hooks.may_keep(step) for step in range(5))
    assert hooks.state() == {}


def test_the_shortest_training_still_cuts_ranks():
    for steps in (2, 3, 5):
        model, hooks = adapted("moirai", steps=steps)
        train(model, hooks, range(1, steps + 1))
        values = singular_values(model)
        assert hooks.may_keep(steps)
        assert sum(int(value.count_nonzero()) for value in values) <= 2 * len(values)


def test_the_penalty_is_trained_on_but_is_no_part_of_the_validation_loss():
    """Expected: factors nearer to orthogonality under a heavy penalty; the same validation loss at step 0."""
    windows = WindowArrays(CONTEXT.values.numpy(), TARGET.numpy(), CONTEXT.start.numpy(), CONTEXT.step)
    budget = TrainingParameters(steps=10, evaluate_every=10, batch_size=3, learning_rate=0.01)

    def distance(weight: float) -> tuple[float, float]:
        model, hooks = adapted("lag-llama", steps=10, adalora_orthogonality=weight)
        history = fit(model, windows, windows, budget, 3, torch.device("cpu"), hooks=hooks)
        return float(hooks.penalty().detach()) / weight, history.validation_loss[0][1]

    (light, start), (heavy, same_start) = distance(1e-6), distance(10.0)
    assert heavy < light
    assert same_start == start
