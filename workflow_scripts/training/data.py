"""Windows as the training and forecasting loops see them: arrays, without patients or units."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.models.registry import Variant, check_covariates

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from workflow_scripts.models.interface import Series
    from workflow_scripts.windows.reading import Windows
    from workflow_scripts.windows.series import SeriesTable


@dataclass(frozen=True)
class Scale:
    """The fixed range of values, in natural units, that is 0 to 1 to the models."""

    low: float = 0.0
    high: float = 1.0

    def scaled(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values in natural units as the models see them; NaN stays NaN."""
        return (values - np.float32(self.low)) / np.float32(self.high - self.low)

    def natural(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `scaled`."""
        return scaled * np.float32(self.high - self.low) + np.float32(self.low)


@dataclass(frozen=True)
class WindowArrays:
    """Windows on the scale that the models see.

    context: float32 [windows, context], NaN where nothing was observed.
    target:  float32 [windows, horizon], NaN where nothing was observed.
    start:   int64 [windows], seconds since the epoch at the first context point.
    step:    seconds between two points.
    covariates: float32 [windows, others, context], other series over the same time, or None.
    scale:   what brings forecasts back to natural units.
    """

    context: NDArray[np.float32]
    target: NDArray[np.float32]
    start: NDArray[np.int64]
    step: int
    covariates: NDArray[np.float32] | None = None
    scale: Scale = Scale()

    def __len__(self) -> int:
        return len(self.context)

    def rows(self, rows: NDArray[np.int64]) -> "WindowArrays":
        """Some of the windows."""
        covariates = None if self.covariates is None else self.covariates[rows]
        return replace(
            self,
            context=self.context[rows],
            target=self.target[rows],
            start=self.start[rows],
            covariates=covariates,
        )

    def on(self, device: "torch.device") -> "WindowTensors":
        """All windows as tensors on a device: they are small, so nothing is copied step by step."""
        import torch

        return WindowTensors(
            torch.from_numpy(self.context).to(device),
            torch.from_numpy(self.target).to(device),
            torch.from_numpy(self.start).to(device),
            self.step,
            None if self.covariates is None else torch.from_numpy(self.covariates).to(device),
        )


@dataclass(frozen=True)
class WindowTensors:
    """`WindowArrays` as tensors on one device."""

    context: "Tensor"
    target: "Tensor"
    start: "Tensor"
    step: int
    covariates: "Tensor | None" = None

    def __len__(self) -> int:
        return len(self.context)

    def batch(self, rows: "Tensor | slice") -> "tuple[Series, Tensor]":
        """The context series and the targets of some windows."""
        from workflow_scripts.models.interface import Series

        covariates = None if self.covariates is None else self.covariates[rows]
        return Series(self.context[rows], self.start[rows], self.step, covariates), self.target[rows]


def window_arrays(windows: "Windows", variant: Variant) -> WindowArrays:
    """Windows as a model is given them: scaled, and with the other vital signs only where it looks at them.

    Raises UserError where it does and the windows carry none.
    """
    check_covariates(variant, [covariate.vital for covariate in windows.metadata.covariates])
    scaled, metadata = windows.scaled(), windows.metadata
    return WindowArrays(
        scaled.context,
        scaled.target,
        scaled.start,
        metadata.interval_minutes * 60,
        scaled.covariates if variant.multivariate else None,
        Scale(metadata.scale_low, metadata.scale_high),
    )


def series_arrays(series: "SeriesTable", horizon: int, scale: Scale) -> WindowArrays:
    """A user's own series as windows of an unknown future."""
    return WindowArrays(
        context=scale.scaled(series.values),
        target=np.full((len(series.names), horizon), np.nan, dtype=np.float32),
        start=series.start,
        step=series.step_seconds,
        scale=scale,
    )
