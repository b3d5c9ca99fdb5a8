"""The arms of models that are trained from scratch, and that nobody else has them."""

from pathlib import Path

import pytest
import torch

from tests.helpers.linear_model import LinearModel
from tests.helpers.tiny_scratch import FAMILIES, sines, tiny
from workflow_scripts.adaptation.adapters import load_adapter, merge, read_arm, save_adapter
from workflow_scripts.adaptation.adapting import adapt, count_parameters
from workflow_scripts.adaptation.arms import ADAPTATION_METHODS, SCRATCH_ARMS, Arm, expand_arms
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.models.interface import Series
from workflow_scripts.models.scratch.model import ScratchModel
from workflow_scripts.models.scratch.n_beats import NBeats
from workflow_scripts.models.scratch.n_hits import NHits
from workflow_scripts.models.scratch.tft import Tft
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.loop import fit
from workflow_scripts.training.parameters import TrainingParameters

DEFAULTS = AdaptationParameters()
BUDGET = TrainingParameters(steps=4, evaluate_every=2, batch_size=8, learning_rate=0.01)
LOSSES = {"trained": "mse", "trained-dilate": "dilate", "trained-quantile": "quantile"}
every_arm = pytest.mark.parametrize("name", [arm.name for arm in SCRATCH_ARMS])


def trained(family: type[ScratchModel], name: str) -> ScratchModel:
    model = tiny(family, seed=2)
    hooks = adapt(model, Arm.parse(name), DEFAULTS, seed=2)
    fit(model, sines(16, 0), sines(8, 1), BUDGET, 2, torch.device("cpu"), hooks=hooks)
    return model


@every_arm
@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_that_has_a_part_in_the_forecast_trains_with_the_arm_s_loss(
    family: type[ScratchModel], name: str
) -> None:
    start, model = tiny(family, seed=2), trained(family, name)
    start.choose_loss(LOSSES[name])
    assert model.training_loss == LOSSES[name]
    before = dict(start.module.named_parameters())
    changed = {key for key, value in model.module.named_parameters() if not torch.equal(value, before[key])}
    trains = {key for key, value in before.items() if value.requires_grad}
    assert changed <= trains
    # darts keeps the last backcast of N-BEATS and N-HiTS; a ReLU may be shut in so few steps.
    assert len(changed) > 0.8 * len(trains)
    assert all("backcast" in key for key in before.keys() - trains)


def test_what_does_not_train_is_counted_apart() -> None:
    for family, untrained in ((NBeats, (32 + 1) * 5 + (5 + 1) * 24), (NHits, (32 + 1) * 24), (Tft, 0)):
        model = tiny(family)
        adapt(model, Arm("trained"), DEFAULTS, seed=0)
        counted = count_parameters(model)
        assert counted["total"] - counted["trainable"] == untrained


@every_arm
@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_model_is_saved_and_loads_on_any_start(
    family: type[ScratchModel], name: str, tmp_path: Path
) -> None:
    model, other = trained(family, name), tiny(family, seed=9)
    save_adapter(model, Arm.parse(name), tmp_path, "tiny")
    assert (read_arm(tmp_path).arm, read_arm(tmp_path).base) == (Arm(name), "tiny")
    assert load_adapter(other, tmp_path) == Arm(name)
    merge(other, Arm(name))
    for loaded in (other, family.load(tmp_path)):
        state = loaded.module.state_dict()
        assert all(torch.equal(state[key], value) for key, value in model.module.state_dict().items())


def test_a_model_of_another_context_is_refused(tmp_path: Path) -> None:
    save_adapter(trained(NHits, "trained"), Arm("trained"), tmp_path, "tiny")
    with pytest.raises(UserError, match="another name or shape"):
        load_adapter(tiny(NHits, context=48), tmp_path)


def test_a_trained_tft_keeps_its_own_lengths_though_its_weights_fit_any(tmp_path: Path) -> None:
    save_adapter(trained(Tft, "trained"), Arm("trained"), tmp_path, "tiny")
    other = tiny(Tft, context=48)
    load_adapter(other, tmp_path)
    context = Series(torch.rand(1, 48), torch.zeros(1, dtype=torch.int64), 3600)
    with pytest.raises(UserError, match=r"48 steps[\s\S]*24 steps, for which this TFT model was made"):
        other.quantiles(context, torch.rand(1, 1, 6), [0.5])


@pytest.mark.parametrize("arm", expand_arms(ADAPTATION_METHODS, [2]), ids=lambda arm: arm.name)
def test_what_has_no_base_weights_cannot_be_adapted(arm: Arm) -> None:
    model = tiny(NHits)
    with pytest.raises(
        UserError, match=r"trained from scratch: it only has trained, trained-dilate, trained-quantile"
    ) as refused:
        adapt(model, arm, DEFAULTS, seed=0, steps=10)
    assert refused.value.where == f"arm {arm.name} on NHits"


@every_arm
def test_what_has_base_weights_is_not_trained_from_scratch(name: str) -> None:
    with pytest.raises(UserError, match="has base weights"):
        adapt(LinearModel(), Arm(name), DEFAULTS, seed=0)
