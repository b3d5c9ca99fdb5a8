"""How an arm changes a base model before training: what is frozen, and what is put around it by peft."""

import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workflow_scripts.adaptation.arms import FITTING_METHODS, Arm
from workflow_scripts.adaptation.hooks import AdaLoraHooks, TrainingHooks
from workflow_scripts.adaptation.parameters import AdaptationParameters
from workflow_scripts.adaptation.plan import SELECTING_METHODS, Plan, initial_rank, plan, target_pattern
from workflow_scripts.runtime.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import nn

    from workflow_scripts.models.interface import ForecastModel


def adapt(
    model: "ForecastModel",
    arm: Arm,
    parameters: AdaptationParameters,
    seed: int,
    steps: int | None = None,
) -> TrainingHooks:
    """Prepare a base model for an arm: choose what trains, and wrap the module where the method asks for it.

    steps: of the training that follows; AdaLoRA's schedule needs it. The training loop must call the hooks
    that are returned. Raises UserError where the method cannot be had on this model as asked.
    """
    planned = plan(model, arm, parameters)
    if arm.method in FITTING_METHODS:
        model.training_loss = FITTING_METHODS[arm.method]
    elif arm.method in ("zero-shot", "full"):
        model.module.requires_grad_(arm.method == "full")
    elif arm.method in SELECTING_METHODS:
        select(model.module, planned.parameters)
    else:
        model.module = _wrapped(model, arm, parameters, planned, seed, steps)
    model.module.eval()
    _check(model, planned)
    return AdaLoraHooks(model.module.base_model) if arm.method == "adalora" else TrainingHooks()


def count_parameters(model: "ForecastModel") -> dict[str, int]:
    """Total parameters (the adapter's included) and those that train."""
    weights = list(model.module.parameters())
    return {
        "total": sum(weight.numel() for weight in weights),
        "trainable": sum(weight.numel() for weight in weights if weight.requires_grad),
    }


def select(module: "nn.Module", names: "Iterable[str]") -> None:
    """Let only the named parameters train.

    One that shares its values with a parameter of another name (T5's output layer with its embedding) gets
    values of its own, equal at the start: else the other one would be trained too.
    """
    from torch import nn

    chosen = set(names)
    module.requires_grad_(False)
    everything = list(module.named_parameters(remove_duplicate=False))
    shared = {id(weight) for name, weight in everything if name not in chosen}
    for name, weight in everything:
        if name in chosen:
            parent, _, leaf = name.rpartition(".")
            own = nn.Parameter(weight.detach().clone()) if id(weight) in shared else weight
            setattr(module.get_submodule(parent), leaf, own.requires_grad_(True))


@contextmanager
def quiet_peft() -> "Iterator[None]":
    """Without two warnings that mean nothing here.

    peft does not know the width of a normalisation, and does not need it; and it looks at an attribute that
    transformers is about to rename.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Unsupported layer type")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        yield


def _wrapped(
    model: "ForecastModel",
    arm: Arm,
    parameters: AdaptationParameters,
    planned: Plan,
    seed: int,
    steps: int | None,
) -> "nn.Module":
    import torch
    from peft import get_peft_model, get_peft_model_state_dict

    config = _peft_config(model, arm, parameters, planned, seed, steps)
    with torch.random.fork_rng(devices=[]), quiet_peft():
        torch.manual_seed(seed)
        module = get_peft_model(model.module, config)
    if arm.method == "pissa":
        # What the base weights lost: a saved adapter gives it back (see adapters.py).
        start = get_peft_model_state_dict(module, save_embedding_layers=False)
        module.pissa_start = {name: factor.detach().clone() for name, factor in start.items()}
    return module


def _peft_config(
    model: "ForecastModel",
    arm: Arm,
    parameters: AdaptationParameters,
    planned: Plan,
    seed: int,
    steps: int | None,
) -> Any:
    """peft's configuration of a method."""
    import peft

    if arm.method == "layernorm":
        return peft.LNTuningConfig(target_modules="|".join(map(re.escape, planned.modules)))
    targets = target_pattern(model, arm, parameters)
    if arm.method == "ia3":
        return peft.IA3Config(target_modules=targets, feedforward_modules=model.feedforward_targets)
    if arm.method == "fourierft":
        return peft.FourierFTConfig(
            target_modules=targets,
            n_frequency=parameters.fourierft_coefficients,
            scaling=parameters.fourierft_scaling,
            random_loc_seed=seed,
            init_weights=parameters.fourierft_initialisation == "zeros",
        )
    if arm.method == "vera":
        # The random projections are saved too: another torch may not draw the same ones.
        return peft.VeraConfig(
            target_modules=targets,
            r=arm.rank,
            d_initial=parameters.vera_scale,
            vera_dropout=parameters.lora_dropout,
            projection_prng_key=seed,
            save_projection=True,
        )
    low_rank = {
        "target_modules": targets,
        "lora_alpha": parameters.lora_alpha,
        "lora_dropout": parameters.lora_dropout,
    }
    if arm.method == "adalora":
        return peft.AdaLoraConfig(**low_rank, **_adalora_schedule(arm, parameters, steps))
    initialisation = "gaussian" if parameters.lora_initialisation == "gaussian" else True
    return peft.LoraConfig(
        **low_rank,
        r=arm.rank,
        init_lora_weights="pissa" if arm.method == "pissa" else initialisation,
        use_rslora=arm.method == "rslora",
        use_dora=arm.method == "dora",
    )


def _adalora_schedule(arm: Arm, parameters: AdaptationParameters, steps: int | None) -> dict[str, Any]:
    """Ranks, and when they are cut: after a warm-up step by step, and no more in the final share."""
    if steps is None or steps < 2:
        raise UserError(
            where=f"arm {arm.name}",
            found="no training steps" if steps is None else f"{steps} training step",
            expected="at least 2 training steps, over which ranks are cut",
            remedy="give the arm more training.steps",
        )
    warmup = min(round(parameters.adalora_warmup * steps), steps - 2)
    final = min(round(parameters.adalora_final * steps), steps - max(warmup, 1) - 1)
    return {
        "init_r": initial_rank(arm.rank or 0, parameters),
        "target_r": arm.rank,
        "tinit": warmup,
        "tfinal": final,
        "total_step": steps,
        "orth_reg_weight": parameters.adalora_orthogonality,
    }


def _check(model: "ForecastModel", planned: Plan) -> None:
    """An arm never turns into another one: what trains is what was planned, or nothing is trained at all."""
    wrapped: set[str] = set()
    if planned.modules:
        from peft.tuners.tuners_utils import BaseTunerLayer

        named = model.module.get_base_model().named_modules()
        wrapped = {name for name, module in named if isinstance(module, BaseTunerLayer)}
    found = (wrapped, count_parameters(model)["trainable"])
    if found != (set(planned.modules), planned.trainable):
        raise RuntimeError(
            f"{found[1]} parameters train around {len(found[0])} modules, "
            f"planned were {planned.trainable} around {len(planned.modules)}"
        )
