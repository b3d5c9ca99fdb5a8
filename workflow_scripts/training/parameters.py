"""Settings of the one training loop and the one forecasting loop."""

from itertools import product
from math import ceil
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from workflow_scripts.runtime.parameters import Parameters


class TrainingParameters(Parameters):
    """The same budget for every arm of every model."""

    steps: int = Field(100, ge=1, description="most optimiser steps")
    batch_size: int = Field(32, ge=1, description="windows in one step")
    learning_rate: float = Field(
        1e-3, gt=0, description="peak learning rate of AdamW, the same for every arm"
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay of AdamW")
    warmup_fraction: float = Field(0.1, ge=0, le=1, description="share of the steps with a rising rate")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    evaluate_every: int = Field(10, ge=1, description="steps between evaluations of the validation loss")
    patience: int = Field(5, ge=1, description="evaluations without improvement before training stops")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="bfloat16: matrix products of training in half the bits, for GPUs; weights and forecasts stay "
        "float32 (docs/performance.md)",
    )
    from_scratch: Literal["shared", "released"] = Field(
        "released",
        description="the budget of models that are trained from scratch: that of the authors' released models "
        "(docs/models.md), as few steps would do them an injustice; or shared with all other arms",
    )
    checkpoint_seconds: float = Field(
        60,
        ge=0,
        description="least time between checkpoints, from which a job that was killed goes on; 0: after every "
        "evaluation; changes no result",
    )


class TuningParameters(Parameters):
    """Candidates that every arm of every model tries alike; validation alone chooses between them."""

    learning_rates: list[float] = Field(
        [],
        description="peak learning rates to try; none: `training.learning_rate` for every arm (the paper's protocol)",
    )
    steps: list[int] = Field(
        [], description="numbers of optimiser steps to try; none: `training.steps` for every arm"
    )

    @field_validator("learning_rates", "steps")
    @classmethod
    def _positive_and_once(cls, values: list[float]) -> list[float]:
        if min(values, default=1) <= 0:
            raise ValueError("each must be above 0")
        if len(set(values)) < len(values):
            raise ValueError("each may be named once")
        return values

    def candidates(self, budget: TrainingParameters) -> list[TrainingParameters]:
        """Every combination, in the order of the lists; the budget itself where there is nothing to tune."""
        rates, steps = self.learning_rates or [budget.learning_rate], self.steps or [budget.steps]
        return [
            budget.model_copy(update={"learning_rate": rate, "steps": number})
            for rate, number in product(rates, steps)
        ]


FEWEST_PATHS = 100
"""Of 20 paths a probability of 0.1 has a standard error of 0.07, of 100 one of 0.03."""
STANDARD_SAMPLES = 10
"""As few as keep the sampling noise of every family below 1 % of its MSE (docs/statistics.md)."""
PAPER_SAMPLES = 20
"""As in arXiv 2405.10216."""


class ForecastParameters(Parameters):
    """How a forecast is drawn and summarised."""

    protocol: Literal["standard", "paper"] = Field(
        "standard",
        description="how a forecast distribution becomes quantiles. standard: exactly where a family gives every "
        "step's distribution at once, else from stratified sample paths; paper: the plain quantiles of independent "
        "sample paths, whose noise is part of every error (docs/statistics.md)",
    )
    samples: int = Field(
        STANDARD_SAMPLES,
        ge=2,
        description="sample paths for each window; at least 1 / the lowest quantile level; with protocol: paper by "
        f"default {PAPER_SAMPLES}",
    )
    quantiles: list[float] = Field(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        description="levels kept of the samples; 0.1, 0.5 and 0.9 must be among them (median, 80 % interval)",
    )
    event_paths: int = Field(
        0,
        ge=0,
        description="sample paths for the joint probabilities of events over several steps, of Chronos-T5 and "
        "Lag-Llama, which draw whole trajectories: at least 100, or 0 for none; then they come from validation, as of "
        "all others (docs/events.md)",
    )
    lag_llama_sampler: Literal["exact", "frozen"] = Field(
        "exact",
        description="how Lag-Llama draws paths: exact, as upstream without its cache; or frozen, faster, with the "
        "scale frozen at the context (docs/lag-llama.md)",
    )
    batch_size: int = Field(
        64, ge=1, description="windows in one batch; from 32 on it changes no result on a CPU"
    )

    @model_validator(mode="before")
    @classmethod
    def _samples_of_the_protocol(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("protocol") == "paper":
            return {"samples": PAPER_SAMPLES} | given
        return given

    @field_validator("quantiles")
    @classmethod
    def _sorted_levels(cls, levels: list[float]) -> list[float]:
        if sorted(set(levels)) != levels or not all(0 < level < 1 for level in levels):
            raise ValueError("must be rising and between 0 and 1")
        if not {0.1, 0.5, 0.9} <= set(levels):
            raise ValueError("must contain 0.1, 0.5 and 0.9")
        return levels

    @field_validator("event_paths")
    @classmethod
    def _enough_paths(cls, paths: int) -> int:
        if 0 < paths < FEWEST_PATHS:
            raise ValueError(f"too few for a probability; at least {FEWEST_PATHS}, or 0 for none")
        return paths

    @model_validator(mode="after")
    def _enough_samples(self) -> "ForecastParameters":
        tail = min(self.quantiles[0], 1 - self.quantiles[-1])
        # A level beyond the outermost sample would be that sample, whatever the model says.
        fewest = ceil(round(1 / tail, 6))
        if self.samples < fewest:
            raise ValueError(
                f"samples: {self.samples} are too few for quantiles {self.quantiles[0]:g} to "
                f"{self.quantiles[-1]:g}; at least {fewest}"
            )
        return self
