"""What the models that are trained from scratch share: forecasts by one of darts' networks, and three losses.

Only the networks are darts'; its series, training and forecasting are not used, so that the same windows, loops and
metrics serve every model. The study's own baselines were darts models too (version 0.23.1).
"""

from abc import abstractmethod
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from darts.utils.data.torch_datasets.utils import PLModuleInput
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from workflow_scripts.models.base_weights import WEIGHTS, check_tensors, read_config, reading
from workflow_scripts.models.interface import ForecastModel, Series
from workflow_scripts.models.quantile_model import at_levels, for_all
from workflow_scripts.models.scratch.dilate import ALPHA, GAMMA, dilate
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_json

LIBRARY = "darts"

LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
"""The quantile levels that the quantile loss trains, one output of the network for each."""


class ScratchModel(ForecastModel):
    """A forecaster of one context length and one horizon, with random weights until it is trained.

    With the losses `mse` and `dilate` it forecasts one value for each step: every sample path and every quantile is
    that value, so its 80 % interval covers only truths that equal it, and its weighted quantile loss is a point's.
    With the loss `quantile` it has an output for each of LEVELS; between them quantiles are interpolated, and beyond
    the outermost they stay at it, as those of other families that were trained to give quantiles.
    A gap in the context is filled with the last value before it; one at the start with the first value after it.
    A context without any observation has no forecast (NaN), and such a window carries no loss.
    """

    exact_quantiles = True
    title: ClassVar[str]
    """The family's name in messages."""
    required: ClassVar[frozenset[str]]
    """The sizes that a configuration must have, beside context and horizon."""
    attention_targets = ""
    losses = ("mse", "dilate", "quantile")
    training_loss = "mse"

    def __init__(self, module: nn.Module, sizes: dict[str, Any], made: dict[str, Any]) -> None:
        """sizes: what `create` was given. made: what the configuration says of the start (library, version, seed)."""
        self.module = module
        self._sizes = sizes
        self._made = made

    @staticmethod
    @abstractmethod
    def build(sizes: dict[str, Any], outputs: int = 1) -> nn.Module:
        """darts' network of these sizes, with random weights. outputs: values that it gives for each step."""

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The network with random weights, in evaluation mode.

        sizes: those of the registry, with `context` and `horizon` (grid steps), which the registry cannot know.
        """
        module = cls._random(sizes, seed, outputs=1)
        return cls(module, sizes, {"library": f"{LIBRARY} {version(LIBRARY)}", "seed": seed})

    @classmethod
    def _random(cls, sizes: dict[str, Any], seed: int, outputs: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls.build(sizes, outputs).eval()

    def choose_loss(self, name: str) -> None:
        """Train with this loss, from a random start of the same seed; see ForecastModel.choose_loss."""
        if _outputs(name) != _outputs(self.training_loss):
            self.module = self._random(self._sizes, self._made["seed"], _outputs(name))
        self.training_loss = name

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote; see ForecastModel.load."""
        config = read_config(folder, cls.title, {*cls.required, "context", "horizon", "made"})
        with reading(folder):
            made = dict(config.pop("made"))
            loss = made.pop("loss")["name"]
            module = cls.build(config, _outputs(loss))
            check_tensors(folder, module)
            load_model(module, folder / WEIGHTS)
        model = cls(module.eval(), config, made)
        model.training_loss = loss
        return model

    def save(self, folder: Path) -> None:
        """Write model.safetensors, and config.json with the sizes, the library, the seed and the loss."""
        loss: dict[str, Any] = {"name": self.training_loss}
        if self.training_loss == "dilate":
            loss |= {"alpha": ALPHA, "gamma": GAMMA}
        if self.training_loss == "quantile":
            loss |= {"levels": LEVELS}
        save_model(self.module, str(folder / WEIGHTS))
        write_json(folder / "config.json", self._sizes | {"made": self._made | {"loss": loss}})

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """The loss that `training_loss` names; see ForecastModel.loss.

        mse: mean squared error over all observed points of the batch. dilate: see scratch/dilate.py. quantile: the sum
        over LEVELS of the quantile loss (Koenker and Bassett, Econometrica 46, 1978), mean over all observed points.
        """
        forecast, known = self._forecast(context, target.shape[1])
        target = target.masked_fill(~known, torch.nan)
        if self.training_loss == "dilate":
            return dilate(forecast[..., 0], target)
        observed = ~target.isnan()
        error = torch.where(observed[..., None], target.nan_to_num()[..., None] - forecast, 0.0)
        if self.training_loss == "quantile":
            levels = torch.tensor(LEVELS, device=error.device)
            return torch.maximum(levels * error, (levels - 1) * error).sum() / observed.sum().clamp(min=1)
        return error.square().sum() / observed.sum().clamp(min=1)

    def sample(self, context: Series, uniforms: Tensor) -> Tensor:
        """The point forecast, as often as there are samples; of quantiles those at the uniforms.

        Steps are independent of each other then; see ForecastModel.sample.
        """
        trained = self._trained_outputs(context, uniforms.shape[2])
        if trained.shape[1] == 1:
            return trained.repeat(1, uniforms.shape[1], 1)
        return at_levels(trained, LEVELS, uniforms)

    def quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """The point forecast, as every quantile; or the trained quantiles, interpolated to `levels`."""
        trained = self._trained_outputs(context, uniforms.shape[2])
        if trained.shape[1] == 1:
            return trained.repeat(1, len(levels), 1)
        return at_levels(trained, LEVELS, for_all(levels, trained))

    def sampled_quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """The same: nothing is sampled; see ForecastModel.sampled_quantiles."""
        return self.quantiles(context, uniforms, levels)

    @torch.no_grad()
    def _trained_outputs(self, context: Series, horizon: int) -> Tensor:
        """Float32 [batch, outputs, horizon], NaN where nothing of the context was observed; quantiles in their order.

        Sorting those that cross never raises their loss (Chernozhukov, Fernandez-Val and Galichon, Econometrica 78,
        2010).
        """
        forecast, known = self._forecast(context, horizon)
        return forecast.where(known[..., None], torch.nan).sort(dim=2).values.mT

    def _forecast(self, context: Series, horizon: int) -> tuple[Tensor, Tensor]:
        """The network's output [batch, horizon, outputs], and whether any of the context was observed [batch, 1]."""
        self._check_lengths(context.values.shape[1], horizon)
        values = filled(context.values)
        known = ~values.isnan().any(dim=1, keepdim=True)
        output = self.module(PLModuleInput(past_target=values.nan_to_num()[..., None]))
        return output.prediction[..., 0, :], known

    def _check_lengths(self, context: int, horizon: int) -> None:
        # The network's own, because a trained one may have taken the place of the one that was made here.
        own = (self.module.input_chunk_length, self.module.output_chunk_length)
        for name, steps, expected in zip(("context", "horizon"), (context, horizon), own, strict=True):
            if steps != expected:
                raise UserError(
                    f"windows.{name}",
                    f"{steps} steps",
                    f"{expected} steps, for which this {self.title} model was made",
                    "give windows as in its training, or train it anew",
                )


def _outputs(loss: str) -> int:
    """How many values the network gives for each step."""
    return len(LEVELS) if loss == "quantile" else 1


def filled(values: Tensor) -> Tensor:
    """A context without gaps: the last observed value goes on, the first one goes back; [batch, time].

    A row without any observation stays NaN.
    """
    places = torch.arange(values.shape[1], device=values.device).expand_as(values)
    observed = ~values.isnan()
    last = torch.where(observed, places, -1).cummax(dim=1).values
    first = observed.to(torch.uint8).argmax(dim=1, keepdim=True)
    return values.gather(1, torch.where(last < 0, first, last))
