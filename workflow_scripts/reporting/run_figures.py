"""Figures of one run, for its page in MLflow. They show the run, never a patient."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw_run_figures(
    folder: Path,
    training: dict[str, Any] | None,
    truth: NDArray[np.floating],
    median: NDArray[np.floating],
    unit: str,
) -> None:
    """Write loss.svg (of a run that trained) and error_by_step.svg into a folder.

    training: the record's losses, [[step, loss] ...]; truth, median: [windows, horizon], natural units.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    def save(figure: Figure, name: str) -> None:
        figure.savefig(folder / name, metadata={"Date": None})

    # Figures are drawn without pyplot, which would cost a job start-up time and look for a screen.
    with rc_context({"svg.hashsalt": "vitalora", "axes.spines.top": False, "axes.spines.right": False}):
        if training:
            save(_loss_figure(Figure(figsize=(7, 3.5), layout="constrained"), training), "loss.svg")
        save(
            _step_figure(Figure(figsize=(7, 3.5), layout="constrained"), truth, median, unit),
            "error_by_step.svg",
        )


def _loss_figure(figure: Any, training: dict[str, Any]) -> Any:
    axes = figure.subplots()
    for name, label in (("train_loss", "training"), ("validation_loss", "validation")):
        steps, losses = [step for step, _ in training[name]], [loss for _, loss in training[name]]
        axes.plot(steps, losses, marker="o", markersize=3, label=label)
    axes.axvline(training["best_step"], color="0.6", linestyle=":", label="best validation loss")
    axes.set(xlabel="optimiser step", ylabel="loss of the family")
    axes.legend(frameon=False)
    return figure


def _step_figure(figure: Any, truth: NDArray[np.floating], median: NDArray[np.floating], unit: str) -> Any:
    axes = figure.subplots()
    # A run that failed has no forecast: its figure is empty, without a warning.
    error = (
        np.nanmean(np.abs(truth - median), axis=0)
        if np.isfinite(median).any()
        else np.full(len(truth[0]), np.nan)
    )
    axes.plot(np.arange(1, len(error) + 1), error, marker="o", markersize=3)
    axes.set(xlabel="horizon step", ylabel=f"mean absolute error, {unit}", ylim=(0, None))
    return figure
