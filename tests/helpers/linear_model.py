"""A forecaster small enough to work out by hand: linear in the last context value."""

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from workflow_scripts.models.interface import ForecastModel, Series


class TwoLayers(nn.ModuleDict):
    """Two linear maps, one after the other."""

    def forward(self, values: Tensor) -> Tensor:
        return self["head"](self["attention"](values))


class LinearModel(ForecastModel):
    attention_targets = linear_targets = "attention"
    head_parameters = r"head\..*"

    def __init__(self) -> None:
        self.module = TwoLayers({"attention": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
        with torch.no_grad():
            for layer in self.module.values():
                layer.weight.fill_(1.0)
                layer.bias.zero_()

    def _predict(self, context: Series) -> Tensor:
        return self.module(context.values[:, -1:])

    def loss(self, context: Series, target: Tensor) -> Tensor:
        observed = ~target.isnan()
        error = torch.where(observed, target.nan_to_num() - self._predict(context), 0.0)
        return error.square().sum() / observed.sum()

    def sample(self, context: Series, uniforms: Tensor) -> Tensor:
        noise = torch.special.ndtri(uniforms).float()
        return self._predict(context)[:, None] + 0.1 * noise

    @classmethod
    def create(cls, sizes: dict[str, Any], seed: int) -> Self:  # noqa: ARG003 (there is nothing to choose)
        return cls()

    @classmethod
    def load(cls, folder: Path) -> Self:  # noqa: ARG003 (it has no weights on disk)
        return cls()

    def save(self, folder: Path) -> None:
        (folder / "weights.txt").write_text(str(self.module.state_dict()), encoding="utf-8")
