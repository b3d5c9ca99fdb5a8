"""Settings of the base models' weights."""

from pydantic import Field

from workflow_scripts.runtime.parameters import Parameters


class PretrainingParameters(Parameters):
    """How the embedded nano models are made, on synthetic series."""

    series: int = Field(100_000, ge=100, description="synthetic series in the corpus")
    steps: int = Field(3000, ge=1, description="optimiser steps for each model")
    batch_size: int = Field(64, ge=1, description="series in one step")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate")
    seed: int = Field(7, ge=0, description="seed of the corpus, the initial weights and the data order")
    scored_series: int = Field(100, ge=2, description="series of each held-out family in the final scores")
