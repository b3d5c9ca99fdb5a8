"""N-HiTS: blocks that see the context at several resolutions (Challu et al. 2022, arXiv 2201.12886)."""

from typing import Any

from darts.models.forecasting.nhits import NHiTSModel, _NHiTSModule
from torch import nn

from workflow_scripts.models.scratch.model import ScratchModel


class NHits(ScratchModel):
    """Pooling and interpolation by darts' own rule: from half a window to single steps, stack by stack.

    darts leaves the last block's backcast out of training, because nothing comes after it.
    """

    title = "N-HiTS"
    required = frozenset(
        {"num_stacks", "num_blocks", "num_layers", "layer_width", "activation", "max_pool", "dropout"}
    )

    @staticmethod
    def build(sizes: dict[str, Any], outputs: int = 1) -> nn.Module:
        """See ScratchModel.build."""
        stacks, blocks = sizes["num_stacks"], sizes["num_blocks"]
        pooling, downsampling = NHiTSModel._prepare_pooling_downsampling(
            None, None, sizes["context"], sizes["horizon"], blocks, stacks
        )
        return _NHiTSModule(
            input_chunk_length=sizes["context"],
            output_chunk_length=sizes["horizon"],
            input_dim=1,
            output_dim=1,
            nr_params=outputs,
            num_stacks=stacks,
            num_blocks=blocks,
            num_layers=sizes["num_layers"],
            layer_widths=[sizes["layer_width"]] * stacks,
            pooling_kernel_sizes=pooling,
            n_freq_downsample=downsampling,
            batch_norm=False,
            dropout=sizes["dropout"],
            activation=sizes["activation"],
            MaxPool1d=sizes["max_pool"],
        )
