"""N-BEATS: blocks that explain a part of the context and forecast from it (Oreshkin et al. 2019, arXiv 1905.10437)."""

from typing import Any

from darts.models.forecasting.nbeats import _NBEATSModule
from torch import nn

from workflow_scripts.models.scratch.model import ScratchModel


class NBeats(ScratchModel):
    """The generic architecture: the basis is learned.

    darts leaves the last block's backcast out of training, because nothing comes after it.
    """

    title = "N-BEATS"
    required = frozenset(
        {
            "num_stacks",
            "num_blocks",
            "num_layers",
            "layer_width",
            "expansion_coefficient_dim",
            "activation",
            "dropout",
        }
    )

    @staticmethod
    def build(sizes: dict[str, Any], outputs: int = 1) -> nn.Module:
        """See ScratchModel.build."""
        return _NBEATSModule(
            input_chunk_length=sizes["context"],
            output_chunk_length=sizes["horizon"],
            input_dim=1,
            output_dim=1,
            nr_params=outputs,
            generic_architecture=True,
            num_stacks=sizes["num_stacks"],
            num_blocks=sizes["num_blocks"],
            num_layers=sizes["num_layers"],
            layer_widths=[sizes["layer_width"]] * sizes["num_stacks"],
            expansion_coefficient_dim=sizes["expansion_coefficient_dim"],
            # Of the interpretable architecture alone.
            trend_polynomial_degree=0,
            batch_norm=False,
            dropout=sizes["dropout"],
            activation=sizes["activation"],
        )
