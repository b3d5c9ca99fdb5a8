"""Settings of the grid, the windows and the split."""

from typing import Literal

from pydantic import Field, model_validator

from workflow_scripts.runtime.parameters import Parameters


class WindowParameters(Parameters):
    """From irregular values to (context, horizon) windows, split into train, validation and test."""

    interval_minutes: int = Field(60, ge=1, le=24 * 60, description="grid step, minutes")
    context: int = Field(24, ge=2, description="context length, grid steps")
    horizon: int = Field(12, ge=1, description="forecast horizon, grid steps")
    train_stride: int = Field(
        12, ge=1, description="steps between starts of training windows; those of validation never overlap"
    )
    test_stride: int | None = Field(
        None,
        ge=1,
        description="steps between starts of test windows; 1 forecasts every step of a stay, for alarms per "
        "patient-day and their lead times (docs/events.md); default: they never overlap",
    )
    placement: Literal["anywhere", "before_onset", "around_onset", "after_onset"] = Field(
        "anywhere",
        description="which windows of a stay are taken, relative to the cohort's onset: those that end by it, "
        "those that contain it, or those that start at it or later; only anywhere needs no onset",
    )
    minimum_context_observed: int = Field(
        12, ge=1, description="grid steps of a context with a charted value"
    )
    minimum_horizon_observed: int = Field(
        6,
        ge=1,
        description="grid steps of a horizon with a charted value; of a cut horizon the same share of what is left of "
        "it, rounded up",
    )
    horizon_may_be_cut: bool = Field(
        True,
        description="a horizon may be cut by the end of charting, with discharge or death: its steps are missing from "
        "there on; false: only windows whose whole horizon is within the stay, which leaves out the last hours",
    )
    fill: Literal["forward", "forward_backward", "none"] = Field(
        "forward",
        description="how gaps within the context are filled (the paper: forward_backward); "
        "the horizon is never filled and never used",
    )
    covariates: list[str] = Field(
        [],
        description="vital signs whose past every window carries besides its own, for the models that look at several "
        "(…-multivariate, docs/models.md); a vital sign is left out of its own windows",
    )
    smoothing: Literal["none", "rolling_mean_3"] = Field(
        "none",
        description="low-pass filter before windowing (the authors' code has one; makes the task easier, and "
        "lets one step through between context and horizon)",
    )
    split: Literal["by_patient", "by_window_leaky"] = Field(
        "by_patient", description="by_window_leaky is the paper's: one stay can be in train and in test"
    )
    validation_fraction: float = Field(0.15, gt=0, lt=1, description="share of patients (or windows)")
    test_fraction: float = Field(0.15, gt=0, lt=1, description="share of patients (or windows)")
    split_seed: int = Field(42, ge=0, description="seed of the split")

    @model_validator(mode="after")
    def _possible(self) -> "WindowParameters":
        problems = []
        if self.minimum_context_observed > self.context:
            problems.append(f"minimum_context_observed must not exceed context ({self.context})")
        if self.minimum_horizon_observed > self.horizon:
            problems.append(f"minimum_horizon_observed must not exceed horizon ({self.horizon})")
        if self.validation_fraction + self.test_fraction >= 1:
            problems.append("validation_fraction + test_fraction must leave something to train on (< 1)")
        if len(set(self.covariates)) < len(self.covariates):
            problems.append("covariates must name each vital sign once")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def shortest_series(self) -> int:
        """Grid steps of the shortest stay that has a window."""
        return self.context + (1 if self.horizon_may_be_cut else self.horizon)

    def covariates_of(self, vital: str) -> list[str]:
        """The vital signs that the windows of `vital` carry besides it."""
        return [name for name in self.covariates if name != vital]
