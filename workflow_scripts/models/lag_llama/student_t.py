"""The predictive distribution: row loc + row scale x Student-t(df, loc, scale)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class StudentT:
    """Distributions of single values; all tensors have shapes that broadcast to one another.

    df, loc, scale: the network's parameters, on the row's scale.
    row_loc, row_scale: what leads from the row's scale back to the series' scale.
    """

    df: Tensor
    loc: Tensor
    scale: Tensor
    row_loc: Tensor
    row_scale: Tensor

    def negative_log_likelihood(self, values: Tensor) -> Tensor:
        """Minus the log density at values on the series' scale."""
        deviation = ((values - self.row_loc) / self.row_scale - self.loc) / self.scale
        half, half_next = self.df / 2, (self.df + 1) / 2
        normaliser = self.df.log() / 2 + math.log(math.pi) / 2 + torch.lgamma(half) - torch.lgamma(half_next)
        kernel = half_next * torch.log1p(deviation.square() / self.df)
        return kernel + normaliser + self.scale.log() + self.row_scale.log()

    def quantile(self, levels: Tensor) -> Tensor:
        """Values below which the distribution lies with the given probabilities, float64.

        levels: float64 in (0, 1). Computed on the CPU in float64 (SciPy's inverse of the Student-t
        distribution function), so that a draw does not depend on the device.
        """
        from scipy.special import stdtrit

        df, level = torch.broadcast_tensors(self.df.double(), levels)
        standard = torch.from_numpy(stdtrit(df.cpu().numpy(), level.cpu().numpy())).to(levels.device)
        on_row_scale = self.loc.double() + self.scale.double() * standard
        return self.row_loc.double() + self.row_scale.double() * on_row_scale

    def path_quantiles(self, levels: Tensor) -> Tensor:
        """Several quantiles of each distribution, float32 [batch, paths, any].

        levels: float64 [batch, paths, any]; the fields are [batch, paths], or [batch, 1] for all paths alike.
        """
        fields = (self.df, self.loc, self.scale, self.row_loc, self.row_scale)
        return StudentT(*(field[..., None] for field in fields)).quantile(levels).float()
