"""TFT, the temporal fusion transformer: recurrent layers, then attention (Lim et al. 2019, arXiv 1912.09363)."""

from typing import Any

from darts.models.forecasting.tft_model import _TFTModule
from torch import Tensor, nn

from workflow_scripts.models.interface import Series
from workflow_scripts.models.scratch.model import ScratchModel
from workflow_scripts.runtime.errors import UserError

# As darts names its inputs: the series itself, and each step's place relative to the forecast's start.
_SERIES, _PLACE = "target_0", "future_covariate_0"
_INPUTS = {
    "reals_input": [_SERIES, _PLACE],
    "categorical_input": [],
    "time_varying_encoder_input": [_SERIES, _PLACE],
    "time_varying_decoder_input": [_PLACE],
    "static_input": [],
    "static_input_numeric": [],
    "static_input_categorical": [],
}


class Tft(ScratchModel):
    """With the quantile loss TFT's usual quantiles, else a point forecast, because DILATE compares two series.

    Without covariates the place of each step (darts' `add_relative_index`) is all that its decoder is given.
    """

    title = "TFT"
    required = frozenset(
        {"hidden_size", "lstm_layers", "num_attention_heads", "hidden_continuous_size", "dropout"}
    )

    @staticmethod
    def build(sizes: dict[str, Any], outputs: int = 1) -> nn.Module:
        """See ScratchModel.build. Raises UserError where the context is a single step."""
        if sizes["context"] < 2:
            raise UserError(
                "windows.context", "1 step", "at least 2 steps for TFT", "choose a longer context"
            )
        return _TFTModule(
            input_chunk_length=sizes["context"],
            output_chunk_length=sizes["horizon"],
            output_dim=(1, outputs),
            variables_meta={"model_config": _INPUTS},
            num_static_components=0,
            hidden_size=sizes["hidden_size"],
            lstm_layers=sizes["lstm_layers"],
            num_attention_heads=sizes["num_attention_heads"],
            full_attention=False,
            feed_forward="GatedResidualNetwork",
            hidden_continuous_size=sizes["hidden_continuous_size"],
            categorical_embedding_sizes={},
            dropout=sizes["dropout"],
            add_relative_index=True,
            norm_type="LayerNorm",
        )

    def _forecast(self, context: Series, horizon: int) -> tuple[Tensor, Tensor]:
        # darts keeps the attention mask of the last batch size, which inference makes unusable for training.
        self.module.batch_size_last = -1
        return super()._forecast(context, horizon)
