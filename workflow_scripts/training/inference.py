"""From base weights, an adapter and windows to quantiles in natural units: for runs, transfers and `forecast` alike."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from workflow_scripts.adaptation.adapters import load_adapter
from workflow_scripts.models.interface import ForecastModel
from workflow_scripts.models.registry import Variant, family_class
from workflow_scripts.models.weights import load_variant
from workflow_scripts.runtime.device import lease_device
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.data import WindowArrays
from workflow_scripts.training.forecasting import forecast
from workflow_scripts.training.parameters import ForecastParameters


@dataclass(frozen=True)
class SavedModel:
    """A forecaster on disk.

    weights: folder of the base weights; None where the model is trained from scratch. adapter: folder of what an arm
    learned; None: the base model as it is.
    """

    variant: Variant
    weights: Path | None
    adapter: Path | None = None


def load_base_model(variant: Variant, weights: Path | None) -> ForecastModel:
    """A foundation model with its base weights. Raises UserError where no folder is given."""
    if weights is None:
        raise UserError("--weights", "not given", f"the folder of {variant.name}'s base weights", "name it")
    return load_variant(variant, weights)


def load_saved_model(
    saved: SavedModel, parameters: ForecastParameters, device: torch.device
) -> ForecastModel:
    """A forecaster, ready on a device. Raises UserError where weights and adapter do not fit each other."""
    variant = saved.variant
    if not variant.from_scratch:
        model = load_base_model(variant, saved.weights)
    elif saved.adapter is not None:
        model = family_class(variant.family).load(saved.adapter)
    else:
        raise UserError(
            "--adapter",
            "not given",
            f"the folder `adapter` of a run of {variant.name}, which has no base weights",
            "name one, or another model",
        )
    if saved.adapter is not None:
        load_adapter(model, saved.adapter)
    if parameters.lag_llama_sampler in model.samplers:
        model.sampler = parameters.lag_llama_sampler
    model.module.to(device)
    return model


def forecast_with_saved(
    saved: SavedModel,
    windows: WindowArrays,
    window_ids: NDArray[np.int64],
    parameters: ForecastParameters,
    seed: int,
) -> NDArray[np.float32]:
    """Lease a device, load a forecaster and forecast every window, as `forecast` does."""
    with lease_device() as leased:
        device = torch.device(leased.torch_name)
        model = load_saved_model(saved, parameters, device)
        return forecast(model, windows, window_ids, parameters, seed, device)
