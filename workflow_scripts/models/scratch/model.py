"""What the models that are trained from scratch share: point forecasts by one of darts' networks, and two losses.

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
from workflow_scripts.models.scratch.dilate import ALPHA, GAMMA, dilate
from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_json

LIBRARY = "darts"


class ScratchModel(ForecastModel):
    """A forecaster of one context length and one horizon, with random weights until it is trained.

    It forecasts one value for each step: every sample path and every quantile is that value, so its 80 % interval
    covers only truths that equal it, and its weighted quantile loss is that of a point.
    A gap in the context is filled with the last value before it; one at the start with the first value after it.
    A context without any observation has no forecast (NaN), and such a window carries no loss.
    """

    exact_quantiles = True
    title: ClassVar[str]
    """The family's name in messages."""
    required: ClassVar[frozenset[str]]
    """The sizes that a configuration must have, beside context and horizon."""
    attention_targets = ""
    losses = ("mse", "dilate")
    training_loss = "mse"

    def __init__(self, module: nn.Module, sizes: dict[str, Any], made: dict[str, Any]) -> None:
        """sizes: what `create` was given. made: what the configuration says of the start (library, version, seed)."""
        self.module = module
        self._sizes = sizes
        self._made = made

    @staticmethod
    @abstractmethod
    def build(sizes: dict[str, Any]) -> nn.Module:
        """darts' network of these sizes, with random weights."""

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:
        """The network with random weights, in evaluation mode.

        sizes: those of the registry, with `context` and `horizon` (grid steps), which the registry cannot know.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = cls.build(sizes).eval()
        return cls(module, sizes, {"library": f"{LIBRARY} {version(LIBRARY)}", "seed": seed})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote; see ForecastModel.load."""
        config = read_config(folder, cls.title, {*cls.required, "context", "horizon", "made"})
        with reading(folder):
            made = dict(config.pop("made"))
            loss = made.pop("loss")["name"]
            module = cls.build(config)
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
        save_model(self.module, str(folder / WEIGHTS))
        write_json(folder / "config.json", self._sizes | {"made": self._made | {"loss": loss}})

    def loss(self, context: Series, target: Tensor) -> Tensor:
        """The loss that `training_loss` names; see ForecastModel.loss.

        mse: mean squared error over all observed points of the batch. dilate: see scratch/dilate.py.
        """
        forecast, known = self._forecast(context, target.shape[1])
        target = target.masked_fill(~known, torch.nan)
        if self.training_loss == "dilate":
            return dilate(forecast, target)
        observed = ~target.isnan()
        error = torch.where(observed, forecast - target.nan_to_num(), 0.0)
        return error.square().sum() / observed.sum().clamp(min=1)

    def sample(self, context: Series, uniforms: Tensor) -> Tensor:
        """The forecast, as often as there are samples: nothing is drawn; see ForecastModel.sample."""
        return self._repeated(context, *uniforms.shape[1:])

    def quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """The forecast, as every quantile; see ForecastModel.quantiles."""
        return self._repeated(context, len(levels), uniforms.shape[2])

    def sampled_quantiles(self, context: Series, uniforms: Tensor, levels: list[float]) -> Tensor:
        """The same; see ForecastModel.sampled_quantiles."""
        return self.quantiles(context, uniforms, levels)

    @torch.no_grad()
    def _repeated(self, context: Series, times: int, horizon: int) -> Tensor:
        """Float32 [batch, times, horizon], NaN where nothing of the context was observed."""
        forecast, known = self._forecast(context, horizon)
        return forecast.where(known, torch.nan)[:, None].repeat(1, times, 1)

    def _forecast(self, context: Series, horizon: int) -> tuple[Tensor, Tensor]:
        """The network's output [batch, horizon], and whether anything of the context was observed [batch, 1]."""
        self._check_lengths(context.values.shape[1], horizon)
        values = filled(context.values)
        known = ~values.isnan().any(dim=1, keepdim=True)
        output = self.module(PLModuleInput(past_target=values.nan_to_num()[..., None]))
        return output.prediction[..., 0, 0], known

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


def filled(values: Tensor) -> Tensor:
    """A context without gaps: the last observed value goes on, the first one goes back; [batch, time].

    A row without any observation stays NaN.
    """
    places = torch.arange(values.shape[1], device=values.device).expand_as(values)
    observed = ~values.isnan()
    last = torch.where(observed, places, -1).cummax(dim=1).values
    first = observed.to(torch.uint8).argmax(dim=1, keepdim=True)
    return values.gather(1, torch.where(last < 0, first, last))
